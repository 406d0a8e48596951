using System.Diagnostics.CodeAnalysis;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Host.Reporting;

/// <summary>
/// What nobody foresaw, told to people: never by the text of an exception of the framework, which in the native binary is the
/// name of a resource, but by what was thrown, and where.
/// </summary>
internal static class Defect
{
    /// <summary>Set to anything, it has whole stacks printed where defects are told.</summary>
    public const string StackVariable = "LAUNCHD_STACK";

    private const string Frame = "at ", Own = "Launchd.";

    /// <summary>Whether whoever started us wants to see stacks.</summary>
    public static bool ShowsStacks { get; } = Environment.GetEnvironmentVariable(StackVariable) is { Length: > 0 };

    /// <summary>
    /// Sentences of ours as they are, refusals of the kernel in its words, everything else by its kind and its place. Throws
    /// nothing, or the last containments would be none.
    /// </summary>
    public static string Describe(Exception defect)
    {
        try
        {
            return Word(defect);
        }
        catch (Exception)
        {
            return "an error for whose description memory is missing";
        }
    }

    private static string Word(Exception defect) => defect switch
    {
        SystemCallException or StartRefusedException => defect.Message,
        OutOfMemoryException => "the system gives no more memory" + Where(defect),
        _ when FileFault.ErrnoOf(defect) is { } errno => errno.Text + Where(defect),
        _ => defect.GetType().Name + Where(defect),
    };

    /// <summary>As <see cref="Describe"/>, and the stack behind it where it is wanted.</summary>
    public static string DescribeWithStack(Exception defect) => ShowsStacks ? $"{Describe(defect)}\n{defect}" : Describe(defect);

    private static string Where(Exception defect) => TryFindPlace(defect, out string? place) ? " in " + place : "";

    /// <summary>The method of ours that is nearest to where it was thrown.</summary>
    private static bool TryFindPlace(Exception defect, [NotNullWhen(true)] out string? place)
    {
        place = null;
        foreach (ReadOnlySpan<char> line in (defect.StackTrace ?? "").EnumerateLines())
        {
            ReadOnlySpan<char> frame = line.Trim();
            if (!frame.StartsWith(Frame, StringComparison.Ordinal) || !frame[Frame.Length..].StartsWith(Own, StringComparison.Ordinal))
                continue;
            frame = frame[Frame.Length..];
            int end = frame.IndexOf('(');
            place = (end < 0 ? frame : frame[..end]).ToString();
            return true;
        }
        return false;
    }
}
