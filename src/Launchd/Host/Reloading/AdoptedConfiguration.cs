using Launchd.Config.Sources;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>The configuration that holds, and where it came from. For the loop's thread.</summary>
internal sealed class AdoptedConfiguration(SupervisorDefinition definition, ConfigSource? source, ServiceName? exitWith)
{
    /// <summary>A reload puts the next one here.</summary>
    public SupervisorDefinition Definition { get; set; } = definition;

    /// <summary>The source from which the configuration can be read again; null: it was not read from a file.</summary>
    public ConfigSource? Source => source;

    /// <summary>The service with which the supervisor ends; null: none.</summary>
    public ServiceName? ExitWith => exitWith;
}
