using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>Why an instance is not ready or has ended early, in words for people: what was seen, and what to write.</summary>
internal static class ClueTexts
{
    private const int LongestLine = 120;
    private const int ShortestWord = 3;

    private static readonly string[] AddressInUse = ["address already in use", "address in use", "EADDRINUSE", "addrinuse"];

    /// <summary>Of one that was to send <c>READY=1</c> and did not, or not by itself.</summary>
    /// <param name="access">Who may speak for it.</param>
    /// <param name="main">Pid and name of its main process.</param>
    /// <param name="unheard">A message that did not count; null: there was none.</param>
    /// <param name="said">The last line that did count, null: there was none.</param>
    public static string OfNotification(NotifyAccess access, (int Pid, string Name) main, Unheard? unheard, string? said)
    {
        if (unheard is { Line: null })
            return $"process {unheard.Pid} ({unheard.Name}) sent what is no notification: a line is KEY=VALUE, such as READY=1";
        if (unheard is { Line: { } line })
        {
            string came = $"{Short(line)} came from process {unheard.Pid} ({unheard.Name})";
            return access switch
            {
                NotifyAccess.None => $"{came}, but notify_access = \"none\" hears nobody: write \"main\" or \"all\"",
                NotifyAccess.Main => $"{came}, which is not the main process {main.Pid} ({main.Name}): "
                    + "write notify_access = \"all\", or have the main process exec the program",
                _ => $"{came} of user {unheard.Uid}, which is no process of this service",
            };
        }
        if (said is null)
            return "nothing came to NOTIFY_SOCKET: a program that does not know it needs another 'ready', such as a probe";
        return said.StartsWith("READY=", StringComparison.Ordinal)
            ? $"it said {Short(said)}, and only READY=1 counts"
            : $"it said {Short(said)}, but not READY=1";
    }

    /// <summary>Of one whose output was to have a line that matches.</summary>
    /// <param name="pattern">The regular expression.</param>
    /// <param name="lines">The newest lines that it has written, escaped.</param>
    /// <param name="isToTerminal">It writes to a terminal.</param>
    public static string OfOutput(string pattern, IReadOnlyList<string> lines, bool isToTerminal = false)
    {
        if (lines.Count == 0)
        {
            return isToTerminal ? "it has written nothing to its terminal: it may write to a file"
                : "it has written nothing: many programs keep their output back while that is no terminal "
                + "(PYTHONUNBUFFERED=1, stdbuf -oL and the like change it, and terminal = true), or write it to a file";
        }
        string[] words = [.. WordsOf(pattern)];
        string nearest = lines[^1];
        int most = 0;
        foreach (string line in lines)
        {
            int count = words.Count(w => line.Contains(w, StringComparison.OrdinalIgnoreCase));
            if (count < most || count == 0)
                continue;
            most = count;
            nearest = line;
        }
        string which = most > 0 ? "nearest" : "last";
        return $"no line matches '{Short(pattern)}'; the {which} of those that it has written is '{Short(nearest)}'";
    }

    /// <summary>Of one that could not bind an address, because it is held for it. Null: its output says nothing of that.</summary>
    /// <param name="lines">The newest lines that it has written.</param>
    /// <param name="held">The addresses that it is given, with the number of the descriptor.</param>
    public static string? OfAddressInUse(IReadOnlyList<string> lines, IReadOnlyList<(string Address, int Number)> held)
    {
        if (held.Count == 0)
            return null;
        string? line = lines.LastOrDefault(l => Array.Exists(AddressInUse, w => l.Contains(w, StringComparison.OrdinalIgnoreCase)));
        if (line is null)
            return null;
        (string address, int number) = held.FirstOrDefault(h => Mentions(line, h.Address), held[0]);
        return $"it says '{Short(line)}': {address} is held for it and was given to it as descriptor {number} (LISTEN_FDS), which it is "
            + "to use instead of binding; behind a shell, npm or the like it must be started with exec, "
            + "because LISTEN_PID names the main process";
    }

    /// <summary>Of one whose main process has children that may need what only it was given.</summary>
    public static string OfWrapper((int Pid, string Name) main, (int Pid, string Name) child) =>
        $"its sockets were given to the main process {main.Pid} ({main.Name}), and LISTEN_PID does not name its child {child.Pid} "
        + $"({child.Name}): exec the program";

    /// <summary>Of one that ended well before anybody asked it to, with an empty standard input.</summary>
    public static string OfInput() =>
        "if it ends with its standard input, that is empty here: write input = \"open\", which never ends; "
        + "if it goes into the background, keep it in the foreground";

    /// <summary>Of one that ended well and left others of its processes running.</summary>
    public static string OfBackground((int Pid, string Name) left) =>
        $"it left process {left.Pid} ({left.Name}) running, which is ended with it: a program that goes into the background must be told "
        + "to stay in the foreground, or must send MAINPID=";

    // The port as a number of its own, or the path.
    private static bool Mentions(string line, string address)
    {
        string wanted = address[(address.LastIndexOf(':') + 1)..];
        int at = line.IndexOf(wanted, StringComparison.Ordinal);
        return at >= 0 && (at == 0 || !char.IsAsciiDigit(line[at - 1]))
            && (at + wanted.Length == line.Length || !char.IsAsciiDigit(line[at + wanted.Length]));
    }

    private static IEnumerable<string> WordsOf(string pattern)
    {
        int start = 0;
        for (int at = 0; at <= pattern.Length; at++)
        {
            if (at < pattern.Length && char.IsLetterOrDigit(pattern[at]))
                continue;
            if (at - start >= ShortestWord)
                yield return pattern[start..at];
            start = at + 1;
        }
    }

    private static string Short(string text)
    {
        string shown = string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));
        return shown.Length <= LongestLine ? shown : shown[..LongestLine] + "…";
    }
}
