using Launchd.Interop;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>The limits of this process, getrlimit(2).</summary>
internal static unsafe class OwnLimit
{
    /// <summary>
    /// The limit of a resource, in its unit; <see cref="ResourceLimit.Infinity"/> is none. What cannot be asked, because a filter forbids
    /// the call, counts as none: the kernel refuses then what is too much.
    /// </summary>
    public static (ulong Soft, ulong Hard) Of(ResourceKind kind)
    {
        ulong* limit = stackalloc ulong[2];
        return Libc.getrlimit((int)kind, limit) == 0 ? (limit[0], limit[1]) : (ResourceLimit.Infinity, ResourceLimit.Infinity);
    }
}
