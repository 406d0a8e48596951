using System.Net;
using Launchd.Core;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Instances;

/// <summary>The TCP ports at which the processes of an instance listen by themselves, beside the sockets that they were given.</summary>
/// <param name="instance">Whose.</param>
/// <param name="pid">Its main process.</param>
/// <param name="given">Inodes of the sockets that it was given.</param>
internal sealed class OwnPorts(InstanceId instance, int pid, HashSet<ulong> given)
{
    private const int MostProcesses = 64, MostDescriptors = 1 << 14;

    public InstanceId Instance => instance;
    public int Pid => pid;

    /// <summary>Where it listens; what an own port of it is may be all right, a metrics port for example.</summary>
    public SortedSet<string> Addresses { get; } = new(StringComparer.Ordinal);

    /// <summary>Inodes of the sockets that it was given.</summary>
    public IReadOnlySet<ulong> Given => given;

    /// <summary>The sockets that listen there.</summary>
    public HashSet<ulong> Inodes { get; } = [];

    /// <summary>Looks at the processes of the instance. Not on the loop.</summary>
    /// <param name="ports">All that listen, by their inodes.</param>
    public void Look(Dictionary<ulong, IPEndPoint> ports)
    {
        List<int> pids = [pid];
        int count = 0;
        for (int i = 0; i < pids.Count; i++)
        {
            ProcessFamily.AddChildren(pids, pids[i], MostProcesses);
            foreach ((_, string link) in ProcessDescriptors.Links(pids[i]))
            {
                if (++count > MostDescriptors)
                    return;
                if (SocketHolders.InodeOf(link) is not { } inode || given.Contains(inode))
                    continue;
                if (ports.TryGetValue(inode, out IPEndPoint? address) && Inodes.Add(inode))
                    Addresses.Add(address.ToString());
            }
        }
    }
}
