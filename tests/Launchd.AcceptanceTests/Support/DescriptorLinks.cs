namespace Launchd.AcceptanceTests.Support;

/// <summary>What the links in <c>/proc/PID/fd</c> lead to.</summary>
internal static class DescriptorLinks
{
    /// <summary>
    /// Whether it is a library, of which .NET keeps two descriptors from the moment that it first needs it,
    /// under the JIT. Nobody who counts means them.
    /// </summary>
    public static bool IsLibrary(string descriptor) => IsTo(descriptor, ".dll");

    /// <summary>Whether the text is in where it leads to. False: it was closed meanwhile.</summary>
    public static bool IsTo(string descriptor, string what)
    {
        try
        {
            return new FileInfo(descriptor).LinkTarget?.Contains(what, StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
