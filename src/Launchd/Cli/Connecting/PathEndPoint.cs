using System.Net;
using System.Net.Sockets;
using Launchd.Interop;

namespace Launchd.Cli.Connecting;

/// <summary>The address of a Unix socket by the bytes of its path, which the runtime's own takes for UTF-8.</summary>
internal sealed class PathEndPoint : EndPoint
{
    // sockaddr_un, unix(7): the family, and a path with its NUL.
    private const int PathOffset = 2;
    private const int LongestPathBytes = 107;

    private readonly byte[] _path;

    /// <exception cref="ArgumentException">The path is too long for an address.</exception>
    public PathEndPoint(string path)
    {
        _path = new byte[KernelText.ByteCount(path)];
        if (_path.Length > LongestPathBytes)
            throw new ArgumentException("the path is too long for the address of a Unix socket", nameof(path));
        _ = KernelText.Encode(path, _path);
    }

    public override AddressFamily AddressFamily => AddressFamily.Unix;

    public override SocketAddress Serialize()
    {
        SocketAddress address = new(AddressFamily.Unix, PathOffset + _path.Length + 1);
        _path.CopyTo(address.Buffer.Span[PathOffset..]);
        return address;
    }
}
