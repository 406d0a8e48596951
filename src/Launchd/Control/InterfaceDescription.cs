namespace Launchd.Control;

/// <summary>The control interface in Varlink's language, as <c>GetInterfaceDescription</c> returns it.</summary>
internal static class InterfaceDescription
{
    private const string Resource = ControlNames.Interface + ".varlink";

    /// <summary>The text of the file beside this one, which is part of the program.</summary>
    public static string Text => field ??= Read();

    private static string Read()
    {
        using Stream stream = typeof(InterfaceDescription).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"the program was built without its {Resource}");
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
