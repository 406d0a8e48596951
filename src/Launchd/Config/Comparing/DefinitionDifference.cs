using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Model;

namespace Launchd.Config.Comparing;

/// <summary>How a table of the configuration differs.</summary>
internal enum ChangeKind { Added, Changed, Removed }

/// <summary>What a change means for running services and open sockets and files.</summary>
internal enum ChangeEffect
{
    /// <summary>A new service, which is started or listens for its first client.</summary>
    Starts,

    /// <summary>A new service with <c>start = "manual"</c>.</summary>
    StaysStopped,

    /// <summary>The service is stopped and forgotten.</summary>
    Stops,

    /// <summary>A running program would see the change: new instances take over.</summary>
    NewGeneration,

    /// <summary>Slots are added or taken away, the others run on.</summary>
    Scales,

    /// <summary>Running instances and open sockets stay, and go by the new values.</summary>
    InPlace,

    /// <summary>Something is opened.</summary>
    Opens,

    /// <summary>A new socket or file takes the place of the open one, which instances that hold it keep until they end.</summary>
    OpensAnew,

    /// <summary>The open socket of another name is kept under this one.</summary>
    TakesOver,

    /// <summary>The socket or file is closed once no instance lives any more that was given it.</summary>
    Closes,

    /// <summary>Cannot change while the supervisor runs: the reload is refused.</summary>
    Refused,
}

/// <summary>One key with its texts before and after; null: it had, or has, no value. Both are null where the values are secret.</summary>
internal readonly record struct KeyChange(string Key, string? From, string? To);

/// <summary>One table that differs.</summary>
/// <param name="Table"><c>services</c>, <c>sockets</c>, <c>files</c> or <c>supervisor</c>.</param>
/// <param name="Name">The table's key; empty for <c>supervisor</c>.</param>
/// <param name="Kind">How the table differs.</param>
/// <param name="Effect">What the change means.</param>
/// <param name="Keys">
/// The keys that changed; for a service, also <c>sockets.NAME</c> and <c>files.NAME</c> that it is given and
/// that are opened anew, and <c>rolled back</c>.
/// </param>
/// <param name="Source">For <see cref="ChangeEffect.TakesOver"/>: the name from which it comes.</param>
internal sealed record DefinitionChange(
    string Table, string Name, ChangeKind Kind, ChangeEffect Effect, ImmutableArray<KeyChange> Keys, string? Source = null)
{
    /// <summary><c>services.web</c>.</summary>
    public string Path => Name.Length == 0 ? Table : $"{Table}.{Name}";
}

/// <summary>
/// What differs between two configurations, and what each difference means for running services: a pure function of the two, so that
/// <c>check --plan</c> can say beforehand what a reload will do.
/// </summary>
/// <param name="Changes">
/// The supervisor's own first, then services, sockets, files; of each in the order of the new file, removed ones last.
/// </param>
/// <param name="UnchangedCount">Services, sockets and files that are the same.</param>
internal sealed record DefinitionDifference(ImmutableArray<DefinitionChange> Changes, int UnchangedCount)
{
    /// <summary>Prefix of the key under which the value of a variable is compared; the variable's name follows.</summary>
    public const string SecretPrefix = "environment.";

    /// <summary>Keys of <c>[supervisor]</c> that are decided once and for all.</summary>
    private static readonly string[] Fixed = ["name", "runtime_directory", "keeper"];

    /// <summary>Keys of a service that its running programs do not see.</summary>
    private static readonly string[] Quiet =
    [
        "description", "instances", "requires", "wants", "after", "before", "ready_timeout", "health", "restart", "backoff", "start_limit",
        "success_exit", "stop_signal", "stop_timeout", "stop_command", "kill",
        "reload", "idle_timeout", "update", "rollout", "fd_store_keep",
        "share", "request",
    ];

    /// <summary>Keys of a socket for which it need not be opened anew.</summary>
    private static readonly string[] SocketInPlace =
    [
        "name", "backlog", "mode", "user", "group", "directory_mode", "symlinks",
        "remove_on_stop", "keep_options", "pin_path", "mark", "priority", "tos", "ttl",
        "congestion", "no_delay", "keep_alive", "defer_accept", "fast_open",
        "receive_buffer", "send_buffer", "pass_credentials", "pass_pidfd",
        "pass_rights", "trigger_limit", "max_connections", "max_connections_per_source",
    ];

    /// <summary>Options that cannot be taken back from an open socket, because the kernel then keeps what was set.</summary>
    private static readonly string[] SocketOneWay =
        ["mark", "priority", "tos", "ttl", "congestion", "keep_alive", "receive_buffer", "send_buffer"];

    public bool IsEmpty => Changes.IsEmpty;

    /// <summary>The first key that cannot change while the supervisor runs; null: all can.</summary>
    public KeyChange? Refused => Changes.FirstOrDefault(c => c.Effect == ChangeEffect.Refused) is { } refused
        ? refused.Keys.First(k => Fixed.Contains(k.Key)) : null;

    /// <param name="old">The configuration that holds now.</param>
    /// <param name="next">The configuration that is to hold.</param>
    /// <param name="rolledBack">
    /// Services that do not run by <paramref name="old"/>, because a rollout failed and went back; they are tried again. Null: none.
    /// </param>
    public static DefinitionDifference Between(
        SupervisorDefinition old, SupervisorDefinition next, IReadOnlySet<ServiceName>? rolledBack = null)
    {
        List<DefinitionChange> sockets = [.. Sockets(old, next)];
        List<DefinitionChange> files =
            [.. Tables("files", old.Files, next.Files, f => f.Key, DefinitionTexts.Of, (kind, _, _) => FileEffect(kind))];
        List<DefinitionChange> services =
            [.. Services(old, next, [.. sockets, .. files], rolledBack ?? ImmutableHashSet<ServiceName>.Empty)];
        List<DefinitionChange> all = [.. Own(old, next), .. services, .. sockets, .. files];
        int touched = all.Count(c => c.Kind != ChangeKind.Removed && c.Table != "supervisor" && c.Kind != ChangeKind.Added);
        int kept = Shared(old.Services, next.Services, s => s.Name.Text) + Shared(old.Listeners, next.Listeners, l => l.Key)
            + Shared(old.Files, next.Files, f => f.Key);
        return new DefinitionDifference([.. all], kept - touched);
    }

    /// <summary>
    /// The new configuration, with the very objects of the old one for services that are the same and whose sockets and files stay open;
    /// and the names of services whose running instances go on under new policies.
    /// </summary>
    public (SupervisorDefinition Definition, ImmutableArray<ServiceName> Quiet) Adopt(SupervisorDefinition old, SupervisorDefinition next)
    {
        Dictionary<ServiceName, ServiceDefinition> before = old.Services.ToDictionary(s => s.Name);
        Dictionary<string, DefinitionChange> changes =
            Changes.Where(c => c.Table == "services").ToDictionary(c => c.Name, StringComparer.Ordinal);
        ImmutableArray<ServiceDefinition>.Builder services = ImmutableArray.CreateBuilder<ServiceDefinition>(next.Services.Length);
        List<ServiceName> quiet = [];
        foreach (ServiceDefinition service in next.Services)
        {
            DefinitionChange? change = changes.GetValueOrDefault(service.Name.Text);
            services.Add(change is null ? before[service.Name] : service);
            if (change is { Effect: ChangeEffect.InPlace or ChangeEffect.Scales })
                quiet.Add(service.Name);
        }
        return (next with { Services = services.MoveToImmutable() }, [.. quiet]);
    }

    private static IEnumerable<DefinitionChange> Own(SupervisorDefinition old, SupervisorDefinition next)
    {
        ImmutableArray<KeyChange> keys = Compare(DefinitionTexts.Of(old), DefinitionTexts.Of(next));
        if (!keys.IsEmpty)
        {
            ChangeEffect effect = keys.Any(k => Fixed.Contains(k.Key)) ? ChangeEffect.Refused : ChangeEffect.InPlace;
            yield return new DefinitionChange("supervisor", "", ChangeKind.Changed, effect, keys);
        }
    }

    private static int Shared<T>(ImmutableArray<T> old, ImmutableArray<T> next, Func<T, string> key) =>
        old.Select(key).Intersect(next.Select(key), StringComparer.Ordinal).Count();

    private static IEnumerable<DefinitionChange> Sockets(SupervisorDefinition old, SupervisorDefinition next)
    {
        HashSet<string> accepted = AcceptedFrom(next), acceptedBefore = AcceptedFrom(old);
        Dictionary<string, ListenerDefinition> before = old.Listeners.ToDictionary(l => l.Key),
            after = next.Listeners.ToDictionary(l => l.Key);
        // Sockets that give up an address, by that address: a look-up, because there may be thousands.
        ILookup<ListenAddress, ListenerDefinition> givenUp = old.Listeners
            .SelectMany(
                l => l.Addresses.Except(after.TryGetValue(l.Key, out ListenerDefinition? stays) ? stays.Addresses : []).Select(a => (a, l)))
            .ToLookup(g => g.a, g => g.l);
        foreach (DefinitionChange change in Tables(
            "sockets", old.Listeners, next.Listeners, l => l.Key, DefinitionTexts.Of, SocketEffect, SameDefinition.Is))
        {
            // If another socket's table had the address and gives it up, its open socket is taken over.
            ListenerDefinition? from = change.Kind == ChangeKind.Removed ? null
                : after[change.Name].Addresses.Select(a => HolderOf(a, change.Name)).FirstOrDefault(l => l is not null);
            yield return from is null ? change : change with { Effect = ChangeEffect.TakesOver, Source = from.Key };
        }
        // Where the supervisor begins or ceases to accept from a socket, its O_NONBLOCK changes, which every
        // holder would see: so a new socket is opened.
        foreach (ListenerDefinition same in next.Listeners)
        {
            bool flips = before.ContainsKey(same.Key) && !same.Options.NonBlocking
                && accepted.Contains(same.Key) != acceptedBefore.Contains(same.Key);
            if (flips && Compare(DefinitionTexts.Of(before[same.Key]), DefinitionTexts.Of(same)).IsEmpty)
                yield return new DefinitionChange("sockets", same.Key, ChangeKind.Changed, ChangeEffect.OpensAnew, []);
        }

        ListenerDefinition? HolderOf(ListenAddress address, string name) =>
            before.TryGetValue(name, out ListenerDefinition? own) && own.Addresses.Contains(address) ? null
            : givenUp[address].FirstOrDefault(l => l.Key != name);
    }

    private static HashSet<string> AcceptedFrom(SupervisorDefinition definition) =>
        [.. definition.Services.Where(s => s.Start == StartKind.Connection).SelectMany(s => s.Sockets)];

    private static ChangeEffect FileEffect(ChangeKind kind) => kind switch
    {
        ChangeKind.Added => ChangeEffect.Opens,
        ChangeKind.Changed => ChangeEffect.OpensAnew,
        _ => ChangeEffect.Closes,
    };

    private static ChangeEffect SocketEffect(ChangeKind kind, ImmutableArray<KeyChange> keys, ListenerDefinition? next)
    {
        if (kind != ChangeKind.Changed)
            return kind == ChangeKind.Added ? ChangeEffect.Opens : ChangeEffect.Closes;
        bool isInPlace = keys.All(k => SocketInPlace.Contains(k.Key) && !(k.To is null && SocketOneWay.Contains(k.Key)));
        return isInPlace ? ChangeEffect.InPlace : ChangeEffect.OpensAnew;
    }

    private static IEnumerable<DefinitionChange> Services(
        SupervisorDefinition old, SupervisorDefinition next, List<DefinitionChange> given, IReadOnlySet<ServiceName> rolledBack)
    {
        Dictionary<ServiceName, ServiceDefinition> before = old.Services.ToDictionary(s => s.Name);
        Dictionary<(string Table, string Name), (int Place, DefinitionChange Change)> changed =
            given.Index().Where(g => g.Item.Kind == ChangeKind.Changed).ToDictionary(g => (g.Item.Table, g.Item.Name), g => g);
        foreach (ServiceDefinition service in next.Services)
        {
            if (!before.Remove(service.Name, out ServiceDefinition? was))
            {
                ChangeEffect effect = service.Start == StartKind.Manual ? ChangeEffect.StaysStopped : ChangeEffect.Starts;
                yield return new DefinitionChange("services", service.Name.Text, ChangeKind.Added, effect, []);
                continue;
            }
            ImmutableArray<KeyChange> keys =
                SameDefinition.Is(was, service) ? [] : Compare(DefinitionTexts.Of(was), DefinitionTexts.Of(service));
            keys = keys.AddRange(Given(service, changed));
            if (rolledBack.Contains(service.Name))
                keys = keys.Add(new KeyChange("rolled back", null, "tried again"));
            if (!keys.IsEmpty)
                yield return new DefinitionChange("services", service.Name.Text, ChangeKind.Changed, ServiceEffect(keys), keys);
        }
        foreach (ServiceDefinition gone in old.Services.Where(s => before.ContainsKey(s.Name)))
            yield return new DefinitionChange("services", gone.Name.Text, ChangeKind.Removed, ChangeEffect.Stops, []);
    }

    private static ChangeEffect ServiceEffect(ImmutableArray<KeyChange> keys)
    {
        if (!keys.All(k => Quiet.Contains(k.Key)))
            return ChangeEffect.NewGeneration;
        return keys.Any(k => k.Key == "instances") ? ChangeEffect.Scales : ChangeEffect.InPlace;
    }

    /// <summary>
    /// The sockets and files that the service must be given anew. A changed name in LISTEN_FDNAMES counts too, because the program sees it.
    /// </summary>
    private static IEnumerable<KeyChange> Given(
        ServiceDefinition service, Dictionary<(string Table, string Name), (int Place, DefinitionChange Change)> changed)
    {
        if (changed.Count == 0)
            yield break;
        IEnumerable<(string, string)> all = service.Sockets.Select(s => ("sockets", s))
            .Concat(service.Files.Select(f => ("files", f))).Distinct();
        foreach ((_, DefinitionChange change) in all.Where(changed.ContainsKey).Select(g => changed[g]).OrderBy(g => g.Place))
        {
            bool isSeen = change.Effect is ChangeEffect.OpensAnew or ChangeEffect.TakesOver
                || (change.Table == "sockets" && change.Keys.Any(k => k.Key == "name"));
            if (isSeen)
            {
                yield return new KeyChange(
                    change.Path, null, change.Effect == ChangeEffect.TakesOver ? $"from {change.Source}" : "opened anew");
            }
        }
    }

    private static IEnumerable<DefinitionChange> Tables<T>(
        string table, ImmutableArray<T> old, ImmutableArray<T> next, Func<T, string> keyOf,
        Func<T, IEnumerable<(string, string?)>> textsOf, Func<ChangeKind, ImmutableArray<KeyChange>, T?, ChangeEffect> effectOf,
        Func<T, T, bool>? isSame = null)
        where T : class
    {
        Dictionary<string, T> before = old.ToDictionary(keyOf);
        foreach (T item in next)
        {
            if (!before.Remove(keyOf(item), out T? was))
            {
                yield return new DefinitionChange(table, keyOf(item), ChangeKind.Added, effectOf(ChangeKind.Added, [], item), []);
                continue;
            }
            ImmutableArray<KeyChange> keys = isSame?.Invoke(was, item) == true ? [] : Compare(textsOf(was), textsOf(item));
            if (!keys.IsEmpty)
                yield return new DefinitionChange(table, keyOf(item), ChangeKind.Changed, effectOf(ChangeKind.Changed, keys, item), keys);
        }
        foreach (T gone in old.Where(o => before.ContainsKey(keyOf(o))))
            yield return new DefinitionChange(table, keyOf(gone), ChangeKind.Removed, effectOf(ChangeKind.Removed, [], null), []);
    }

    private static ImmutableArray<KeyChange> Compare(
        IEnumerable<(string Key, string? Text)> old, IEnumerable<(string Key, string? Text)> next)
    {
        Dictionary<string, string?> before = old.ToDictionary(t => t.Key, t => t.Text);
        List<KeyChange> changes = [];
        foreach ((string key, string? text) in next)
        {
            before.Remove(key, out string? was);
            if (was != text)
                changes.Add(Changed(key, was, text));
        }
        changes.AddRange(before.Where(b => b.Value is not null).Select(b => Changed(b.Key, b.Value, null)));
        return [.. changes];
    }

    // That a variable came or went may be shown, but not its value.
    private static KeyChange Changed(string key, string? was, string? text) => key.StartsWith(SecretPrefix, StringComparison.Ordinal)
        ? new KeyChange(key, was is null ? null : "…", text is null ? null : "…")
        : new KeyChange(key, was, text);
}
