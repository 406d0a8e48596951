using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>
/// What the instances of one service definition are started with: user, listeners in order, files. A provision is made when a
/// configuration is adopted, and found by the definition object itself, never by a name, because after a reload a name may mean
/// something else, or nothing. So a service that goes back to a former definition gets the descriptors that it had. Owns nothing: the
/// table of descriptors keeps open what a provision names.
/// </summary>
/// <param name="definition">Of the present configuration, or a former one by which the core may still start.</param>
internal sealed class Provision(ServiceDefinition definition)
{
    public ServiceDefinition Definition => definition;

    /// <summary>Who the service runs as.</summary>
    public required ResolvedUser User { get; set; }

    /// <summary>In the order of the definition. The listener guard puts others in the place of those that it replaces.</summary>
    public required ImmutableArray<HeldSocket> Sockets { get; set; }

    /// <summary>In the order of the definition; the same file twice where the definition names it twice.</summary>
    public required ImmutableArray<HeldFile> Files { get; set; }

    /// <summary>
    /// The users and groups of the configuration that has the definition, for the owners of files that are opened anew for each instance.
    /// </summary>
    public required UserTable Users { get; set; }

    /// <summary>
    /// Whether the core may start instances by the definition: always while the configuration has it, and
    /// afterwards as long as a rollout may go back to it.
    /// </summary>
    public bool MayStart { get; set; } = true;

    /// <summary>What was said last about what its instances are started with, which need not be said again at each start.</summary>
    public string LastWarning { get; set; } = "";

    /// <summary>The connections that are made for each instance before it is born.</summary>
    public IEnumerable<FileDefinition.Connected> Connections =>
        Files.Select(f => f.Definition).OfType<FileDefinition.Connected>().Distinct();

    /// <summary>
    /// The listeners that an instance in one slot gets, in order: all endpoints, of each the shard of the slot. Closed ones are left out.
    /// </summary>
    /// <param name="slot">From 0.</param>
    /// <param name="name">Only those that are passed by this name; null: all.</param>
    public IEnumerable<(ListenerDefinition Definition, OpenedListener Listener)> Listeners(int slot, string? name = null)
    {
        foreach (HeldSocket held in Sockets)
        {
            if (name is not null && held.Definition.Name != name)
                continue;
            foreach (OpenedListener listener in held.Opened)
            {
                bool isTheirs = held.Definition.ShardCount == 0 || listener.ShardIndex == slot % held.Definition.ShardCount;
                if (isTheirs && !listener.Descriptor.IsClosed)
                    yield return (held.Definition, listener);
            }
        }
    }

    /// <summary>A function that opens one of the files that each instance gets anew. It may be called from any thread.</summary>
    public Func<OpenResult<FileDescriptor>> Opening(HeldFile file)
    {
        (UserTable users, Credentials? user) = (Users, User.Credentials);
        return () => HeldFile.Open(file.Definition, users, user);
    }

    /// <summary>Puts another listener in the place of a former one.</summary>
    public void Replace(FileDescriptor former, OpenedListener next)
    {
        Sockets = [.. Sockets.Select(s => s with { Opened = [.. s.Opened.Select(SuccessorOf)] })];

        OpenedListener SuccessorOf(OpenedListener opened) => opened.Descriptor == former
            ? next with { EndpointIndex = opened.EndpointIndex, ShardIndex = opened.ShardIndex }
            : opened;
    }
}
