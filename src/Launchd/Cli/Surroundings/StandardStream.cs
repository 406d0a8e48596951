using Launchd.Client;
using Tmds.Linux;

namespace Launchd.Cli.Surroundings;

/// <summary>
/// Standard output or error by write(2), unbuffered. The console's own stream hides EPIPE, with which <c>logs --follow | head</c> would
/// run for ever, and a file stream writes at offsets of its own, with which a second program would overwrite the first one's lines.
/// Borrows the descriptor.
/// </summary>
internal sealed class StandardStream(int number) : Stream
{
    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override unsafe void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            long written;
            fixed (byte* bytes = buffer)
                written = LibC.write(number, bytes, (size_t)buffer.Length);
            if (written >= 0)
                buffer = buffer[(int)written..];
            else
                Recover(new Errno(LibC.errno));
        }
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private unsafe void Recover(Errno errno)
    {
        if (errno == Errno.EINTR)
            return;
        if (errno == Errno.EPIPE)
            throw new BrokenPipeException();
        if (errno != Errno.EAGAIN)
            throw new OutputFailedException(errno);

        // A terminal or pipe that another program has made non-blocking: wait until it takes more.
        pollfd wanted = new() { fd = number, events = (short)LibC.POLLOUT };
        _ = LibC.poll(&wanted, 1, -1);
    }
}
