using System.Globalization;
using System.Text;

namespace Launchd.Logs;

/// <summary>How lines of services look on the supervisor's standard output.</summary>
/// <param name="Colour">Whether each service's prefix has a colour.</param>
/// <param name="Bar">What separates prefix and line.</param>
internal sealed record OutputStyle(bool Colour, string Bar)
{
    public static readonly OutputStyle Plain = new(Colour: false, "│");

    /// <summary>Foregrounds that are legible on light and dark grounds; red is left to errors.</summary>
    private static readonly int[] Colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

    private static readonly string[] LocaleVariables = ["LC_ALL", "LC_CTYPE", "LANG"];

    /// <summary>Decides from the environment: colour only on a terminal and never with <c>NO_COLOR</c> (any text but none).</summary>
    public static OutputStyle Detect(bool isTerminal, Func<string, string?> environment)
    {
        bool wanted = string.IsNullOrEmpty(environment("NO_COLOR")) && environment("TERM") is not (null or "" or "dumb");
        return new OutputStyle(isTerminal && wanted, isTerminal && !IsUtf8(environment) ? "|" : "│");
    }

    /// <summary><c>web.0  │ </c>, the name padded to <paramref name="width"/> characters.</summary>
    public byte[] Prefix(string service, int slot, int width)
    {
        string name = Label(service, slot).PadRight(width);
        return Encoding.UTF8.GetBytes(Colour ? $"\x1b[{ColourOf(service)}m{name} {Bar}\x1b[0m " : $"{name} {Bar} ");
    }

    /// <summary><c>web.0</c>.</summary>
    public static string Label(string service, int slot) => service + "." + slot.ToString(CultureInfo.InvariantCulture);

    /// <summary>
    /// The same colour for the same name in every run: chosen by a hash of this program (FNV-1a), since the runtime's is random.
    /// </summary>
    public static int ColourOf(string service)
    {
        uint hash = 2166136261;
        foreach (char c in service)
            hash = unchecked((hash ^ c) * 16777619);
        return Colours[(int)(hash % (uint)Colours.Length)];
    }

    /// <summary>locale(7): LC_ALL wins over LC_CTYPE, which wins over LANG.</summary>
    private static bool IsUtf8(Func<string, string?> environment)
    {
        string? locale = LocaleVariables.Select(environment).FirstOrDefault(v => !string.IsNullOrEmpty(v));
        return locale is not null
            && (locale.Contains("UTF-8", StringComparison.OrdinalIgnoreCase)
                || locale.Contains("utf8", StringComparison.OrdinalIgnoreCase));
    }
}
