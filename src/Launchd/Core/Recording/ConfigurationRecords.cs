using System.Collections.Immutable;
using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>What the record of the configuration holds.</summary>
/// <param name="Layout">The layout of all records.</param>
/// <param name="Adopted">The configuration without services.</param>
/// <param name="Services">Its services.</param>
internal sealed record RecordedConfiguration(int Layout, SupervisorDefinition Adopted, ImmutableArray<ServiceDefinition> Services)
{
    /// <summary>
    /// A reader that knows another layout refuses the records. Properties come and go without another number; it changes when the meaning
    /// of one does, or when a record is spread over others in another way.
    /// </summary>
    public const int PresentLayout = 1;
}

/// <summary>How the configuration is written.</summary>
internal static class ConfigurationRecords
{
    private static readonly Codec<SupervisorDefinition> Definitions = new Layout<SupervisorDefinition>(
        "a configuration",
        new() { Name = "", ConfigPath = "", RuntimeDirectory = "", Listeners = [], Files = [], Services = [] },
        d => AreDifferent(d.Listeners.Select(l => l.Key)) && AreDifferent(d.Files.Select(f => f.Key)))
        .With(1, Text, d => d.Name, (d, v) => d with { Name = v })
        .With(2, Text, d => d.ConfigPath, (d, v) => d with { ConfigPath = v })
        .With(3, Text, d => d.RuntimeDirectory, (d, v) => d with { RuntimeDirectory = v })
        .With(4, Int, d => d.ControlMode, (d, v) => d with { ControlMode = v })
        .With(5, TextOrNull, d => d.ControlUser, (d, v) => d with { ControlUser = v })
        .With(6, TextOrNull, d => d.ControlGroup, (d, v) => d with { ControlGroup = v })
        .With(7, Text, d => d.ProcessName, (d, v) => d with { ProcessName = v })
        .With(8, Enum<LogFormat>(), d => d.LogFormat, (d, v) => d with { LogFormat = v })
        .With(9, Enum<LogSeverity>(), d => d.LogLevel, (d, v) => d with { LogLevel = v })
        .With(10, Span, d => d.ShutdownTimeout, (d, v) => d with { ShutdownTimeout = v })
        .With(11, Bool, d => d.Keeper, (d, v) => d with { Keeper = v })
        .With(12, List(DescriptorRecords.Listeners), d => d.Listeners, (d, v) => d with { Listeners = v })
        .With(13, List(DescriptorRecords.Files), d => d.Files, (d, v) => d with { Files = v });

    public static readonly Codec<RecordedConfiguration> Configurations = new Layout<RecordedConfiguration>(
        "a configuration", new(0, null!, []), c => c.Adopted is not null && AreDifferent(c.Services.Select(s => s.Name.Text)))
        .With(1, Int, c => c.Layout, (c, v) => c with { Layout = Known(v) })
        .With(2, Definitions, c => c.Adopted, (c, v) => c with { Adopted = v })
        .With(3, List(Definition), c => c.Services, (c, v) => c with { Services = v });

    public static bool AreDifferent(IEnumerable<string> names)
    {
        HashSet<string> seen = new(StringComparer.Ordinal);
        return names.All(seen.Add);
    }

    // Refused as soon as it is seen: behind it may be anything.
    private static int Known(int layout) => layout == RecordedConfiguration.PresentLayout
        ? layout
        : throw new RefusedRecordException(
            $"it is of layout {layout}, and this program knows only layout {RecordedConfiguration.PresentLayout}");
}
