using System.Text;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Host.Provisioning;

/// <summary>
/// Files of NAME=VALUE lines as systemd.exec(5) describes them for <c>EnvironmentFile=</c>, and with <c>export</c> before a name as shells
/// and Compose allow. A message names the number of a line, never its text, because such files hold secrets.
/// </summary>
internal static class EnvironmentFileReader
{
    private const int MostBytes = 1 << 20;

    /// <summary>Adds the variables of a file. Null: done; else what is wrong with the file, and nothing was added.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="user">The user with whose rights it is read, as in <see cref="FileRequest.User"/>.</param>
    /// <param name="variables">Gets the variables.</param>
    public static string? Read(string path, Credentials? user, Dictionary<string, string> variables)
    {
        FileRequest request = new() { Path = path, User = user, IsNonBlocking = true };
        if (!FileOpener.Open(request).TryGet(out FileDescriptor? opened, out OpenFailure? failure))
        {
            string why = failure.Errno != Errno.ENOENT && failure.Explanation is { } known ? $" ({known})" : "";
            return $"it cannot be read: {failure.Errno.Text}{why}";
        }
        using FileDescriptor file = opened;
        return Files.ReadBytes(file, MostBytes + 1, out Errno refused) is not { } bytes ? $"it cannot be read: {refused.Text}"
            : bytes.Length > MostBytes ? "it is larger than 1 MiB"
            : Parse(Encoding.UTF8.GetString(bytes), variables);
    }

    /// <summary>As <see cref="Read"/>.</summary>
    public static string? Parse(string text, Dictionary<string, string> variables)
    {
        if (text.Contains('\0'))
            return "it holds a NUL";
        List<(string Name, string Value)> read = [];
        int at = 0, line = 1;
        while (at < text.Length)
        {
            int first = line;
            SkipBlanks(text, ref at);
            if (at == text.Length)
                break;
            if (text[at] is '\n' or '#' or ';')
            {
                SkipLine(text, ref at, ref line);
                continue;
            }
            int equals = text.IndexOf('=', at), end = EndOfLine(text, at);
            string name = equals < 0 || equals > end ? "" : NameOf(text[at..equals]);
            if (name.Length == 0)
                return $"line {first} is not NAME=VALUE";
            at = equals + 1;
            if (!TryReadValue(text, ref at, ref line, out string value))
                return $"line {first}: a quote is not closed";
            read.Add((name, value));
        }
        foreach ((string name, string value) in read)
            variables[name] = value;
        return null;
    }

    private static string NameOf(string before)
    {
        string name = before.TrimEnd();
        if (name.StartsWith("export ", StringComparison.Ordinal))
            name = name["export ".Length..].TrimStart();
        bool isName = name.Length > 0 && !char.IsAsciiDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');
        return isName ? name : "";
    }

    /// <summary>
    /// Reads a value up to the end of the line, unless a quote or a backslash continues that. Blanks around the value are no part of it.
    /// </summary>
    private static bool TryReadValue(string text, ref int at, ref int line, out string value)
    {
        SkipBlanks(text, ref at);
        StringBuilder read = new();
        int kept = 0; // up to here blanks at the end stay: they were quoted or escaped
        char quote = '\0';
        for (; at < text.Length && (quote != '\0' || text[at] != '\n'); at++)
        {
            char c = text[at];
            if (c == '\n')
                line++;
            if (c == '\\' && quote != '\'' && at + 1 < text.Length)
            {
                Unescape(text[++at], quote, read, ref line);
                kept = read.Length;
            }
            else if (c == quote || (quote == '\0' && c is '"' or '\''))
            {
                quote = quote == '\0' ? c : '\0';
                kept = read.Length;
            }
            else
            {
                read.Append(c);
                if (quote != '\0')
                    kept = read.Length;
            }
        }
        SkipLine(text, ref at, ref line);
        while (read.Length > kept && read[^1] is ' ' or '\t' or '\r')
            read.Length--;
        value = read.ToString();
        return quote == '\0';
    }

    // Between double quotes a backslash stands for itself, except before a character that has a meaning there.
    // At the end of a line it joins the next line.
    private static void Unescape(char escaped, char quote, StringBuilder value, ref int line)
    {
        if (escaped == '\n')
        {
            line++;
            return;
        }
        if (quote == '"' && escaped is not ('"' or '\\' or '`' or '$'))
            value.Append('\\');
        value.Append(escaped);
    }

    private static void SkipBlanks(string text, ref int at)
    {
        while (at < text.Length && text[at] is ' ' or '\t' or '\r')
            at++;
    }

    private static int EndOfLine(string text, int at) => text.IndexOf('\n', at) is >= 0 and int end ? end : text.Length;

    private static void SkipLine(string text, ref int at, ref int line)
    {
        at = EndOfLine(text, at) + 1;
        line++;
    }
}
