using Launchd.Core.Slots;

namespace Launchd.Host.Reporting;

/// <summary>The states of services and instances, as operators and programs read them.</summary>
internal static class StateWords
{
    public static string Of(PublicState state) => state == PublicState.BackingOff ? "backing-off" : state.ToString().ToLowerInvariant();
}
