using Launchd.Core;

namespace Launchd.Host.Instances;

/// <summary>
/// The running instances by their ids. Many look them up; only <see cref="Lifecycle.InstanceTable"/> adds them when they are
/// born, removes and disposes them. For the loop's thread.
/// </summary>
internal sealed class RunningInstances
{
    private readonly Dictionary<InstanceId, RunningInstance> _instances = [];

    public IReadOnlyCollection<RunningInstance> All => _instances.Values;

    public RunningInstance? Find(InstanceId id) => _instances.GetValueOrDefault(id);

    public bool Contains(InstanceId id) => _instances.ContainsKey(id);

    public void Add(RunningInstance born) => _instances.Add(born.Id, born);

    /// <summary>Takes an instance out. Null: it is not here, or not any more.</summary>
    public RunningInstance? Remove(InstanceId id) => _instances.Remove(id, out RunningInstance? over) ? over : null;
}
