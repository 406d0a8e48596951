using Launchd.Client;

namespace Launchd.Host.Provisioning;

/// <summary>How many still need each descriptor; what nobody needs is known at once, without a look at anybody else.</summary>
internal sealed class Claims
{
    private readonly Dictionary<FileDescriptor, int> _counts = [];

    public bool Any(FileDescriptor descriptor) => _counts.ContainsKey(descriptor);

    public void Add(FileDescriptor descriptor) => _counts[descriptor] = _counts.GetValueOrDefault(descriptor) + 1;

    /// <summary>True: that was the last claim to it.</summary>
    public bool Release(FileDescriptor descriptor)
    {
        int left = _counts[descriptor] - 1;
        if (left > 0)
        {
            _counts[descriptor] = left;
            return false;
        }
        return _counts.Remove(descriptor);
    }
}
