namespace Launchd.Config;

/// <summary>What all readers of one configuration share.</summary>
internal sealed class ReadContext(ConfigSource source)
{
    public ConfigSource Source => source;
    public DiagnosticBag Diagnostics { get; } = new();
    public Substitution Substitution => field ??= new Substitution(source.Environment, Diagnostics);
}
