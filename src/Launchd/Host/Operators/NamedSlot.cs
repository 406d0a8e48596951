using System.Globalization;
using Launchd.Config.Diagnostics;
using Launchd.Control;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Host.Operators;

/// <summary>A service, or one slot of it, as an operator names it: <c>web</c>, <c>web.1</c>.</summary>
internal static class NamedSlot
{
    /// <summary>
    /// Finds a service by its name, or by its name with a slot behind the last dot. Null: there is none, and the call is refused.
    /// </summary>
    public static ServiceState? FindOrRefuse(ControlConnection from, Supervisor core, string wanted, out int? slot)
    {
        slot = null;
        if (core.Find(new ServiceName(wanted)) is { } whole)
            return whole;
        int dot = wanted.LastIndexOf('.');
        if (dot > 0 && int.TryParse(wanted.AsSpan(dot + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            && core.Find(new ServiceName(wanted[..dot])) is { } pool)
        {
            slot = number;
            return pool;
        }
        string? hint = Suggestion.Nearest(wanted, core.Services.Select(s => s.Definition.Name.Text));
        from.Refuse(ControlNames.NoSuchService, new ErrorDetail { Name = wanted, Hint = hint, Text = $"there is no service '{wanted}'" });
        return null;
    }
}
