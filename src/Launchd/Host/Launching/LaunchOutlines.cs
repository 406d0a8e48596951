using Launchd.Host.Provisioning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// The outlines of the services that were started last. A few are enough for the programs that are started over and over, and save the
/// memory that those of thousands that are started once would take.
/// </summary>
internal sealed class LaunchOutlines((ulong Soft, ulong Hard) inheritedFileLimit)
{
    private const int Most = 16;

    private readonly LaunchOutline?[] _last = new LaunchOutline?[Most];
    private int _next;

    public LaunchOutline Of(ServiceDefinition definition, ResolvedUser user)
    {
        foreach (LaunchOutline? known in _last)
        {
            if (known is not null && ReferenceEquals(known.Definition, definition) && ReferenceEquals(known.User, user))
                return known;
        }
        LaunchOutline made = LaunchOutline.Of(definition, user, inheritedFileLimit, _last[(_next + Most - 1) % Most]);
        _last[_next] = made;
        _next = (_next + 1) % Most;
        return made;
    }
}
