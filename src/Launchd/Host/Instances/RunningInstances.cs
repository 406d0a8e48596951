using Launchd.Core;

namespace Launchd.Host.Instances;

/// <summary>
/// The instances that run, by their ids: looked up by many, while only <see cref="Lifecycle.InstanceTable"/> puts them here when they are
/// born, takes them out and disposes them. For the loop's thread.
/// </summary>
internal sealed class RunningInstances
{
    private readonly Dictionary<InstanceId, RunningInstance> _instances = [];

    public IReadOnlyCollection<RunningInstance> All => _instances.Values;

    public RunningInstance? Find(InstanceId id) => _instances.GetValueOrDefault(id);

    public bool Contains(InstanceId id) => _instances.ContainsKey(id);

    public void Add(RunningInstance born) => _instances.Add(born.Id, born);

    /// <summary>Null: it is not here, or not any more.</summary>
    public RunningInstance? Remove(InstanceId id) => _instances.Remove(id, out RunningInstance? over) ? over : null;
}
