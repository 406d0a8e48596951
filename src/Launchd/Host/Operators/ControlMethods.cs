using System.Collections.Immutable;
using System.IO.Enumeration;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Control;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Host.Upgrading;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Operators;

/// <summary>What operators may ask for, method by method. The core decides; here requests are read and answers written.</summary>
internal sealed class ControlMethods : IDisposable
{
    private const int MostLogLines = 10_000;
    private const int EventsPerAnswer = 64;
    private const int LinesPerAnswer = 64;

    /// <summary>One line always fits, and an answer never more than a connection's queue takes.</summary>
    private const int AnswerBytes = 7 << 20;

    /// <summary>Most bytes that JSON makes of one character.</summary>
    private const int JsonGrowth = 6;

    /// <summary>What is allocated for one descriptor of an answer, about.</summary>
    private const long AllocatedForDescriptor = 1024;

    private readonly Supervisor _core;
    private readonly EventFeed _events;
    private readonly Reloads _reloads;
    private readonly ServiceListeners _listeners;
    private readonly LogPump _pump;
    private readonly Journal _journal;
    private readonly StatusReporter _reporter;
    private readonly DescriptorLooks _looks;
    private readonly DescriptorFetch _fetch;
    private readonly TerminalAttach _attach;
    private readonly Upgrades _upgrades;
    private readonly Dictionary<RequestId, Waiting> _waiting = [];
    private readonly List<(ControlConnection Connection, long Lost)> _followers = [];
    private long _requests;
    private readonly List<ControlConnection> _shutdownCallers = [];

    public ControlMethods(Supervisor core, EventFeed events, Reloads reloads, ServiceListeners listeners, LogPump pump, Journal journal,
        StatusReporter reporter, DescriptorLooks looks, DescriptorFetch fetch, TerminalAttach attach, Upgrades upgrades)
    {
        _core = core;
        _events = events;
        _reloads = reloads;
        _listeners = listeners;
        _pump = pump;
        _journal = journal;
        _reporter = reporter;
        _looks = looks;
        _fetch = fetch;
        _attach = attach;
        _upgrades = upgrades;
        journal.Added += Publish;
    }

    /// <summary>
    /// The instance to which a process belongs, and whether it is its stop command; null: none. Set when the table of instances has been
    /// made.
    /// </summary>
    public Func<int, (InstanceId Instance, bool IsStopCommand)?> CallerOf { get; set; } = _ => null;

    public void Call(ControlConnection from, ControlCall call)
    {
        if (ControlRights.Of(call.Method) is not { } needed)
        {
            from.Refuse(ControlNames.MethodNotFound, new ErrorDetail { Name = call.Method });
            return;
        }
        if (!from.Peer.May(needed))
        {
            from.Refuse(ControlNames.NotPermitted, new ErrorDetail { Name = call.Method, Text = ControlRights.RefusalOf(call.Method) });
            return;
        }
        string prefix = ControlNames.Interface + ".";
        switch (call.Method.StartsWith(prefix, StringComparison.Ordinal) ? call.Method[prefix.Length..] : call.Method)
        {
            case "Status": Status(from, Read(call, ControlJson.Default.FilterRequest)); break;
            case "Start": Order(from, call, Verb.Start); break;
            case "Stop": Order(from, call, Verb.Stop); break;
            case "Restart": Order(from, call, Verb.Restart); break;
            case "Scale": Order(from, call, Verb.Scale); break;
            case "ReloadService": Order(from, call, Verb.Reload); break;
            case "Signal": Order(from, call, Verb.Signal); break;
            case "Logs": Logs(from, call, Read(call, ControlJson.Default.LogsRequest)); break;
            case "Events": Events(from, call, Read(call, ControlJson.Default.EventsRequest)); break;
            case "Descriptors": Descriptors(from, Read(call, ControlJson.Default.FilterRequest)); break;
            case "Shutdown": Shutdown(from); break;
            case "Fetch": _fetch.Fetch(from, Read(call, ControlJson.Default.FetchRequest)); break;
            case "Attach": _attach.Attach(from, Read(call, ControlJson.Default.AttachRequest)); break;
            case "Reload": ReloadMethods.Reload(_reloads, this, from, call, Read(call, ControlJson.Default.ReloadRequest)); break;
            case "Plan": ReloadMethods.Plan(_reloads, from, Read(call, ControlJson.Default.PlanRequest)); break;
            case "Upgrade": UpgradeMethods.Upgrade(_upgrades, from, Read(call, ControlJson.Default.UpgradeRequest)); break;
            case "org.varlink.service.GetInfo": from.Send(WriteInfo, continues: false); break;
            case "org.varlink.service.GetInterfaceDescription": Describe(from, Read(call, ControlJson.Default.InterfaceRequest)); break;
            default: throw new System.Diagnostics.UnreachableException(call.Method);
        }
    }

    public void Dispose() => _journal.Added -= Publish;

    private static T Read<T>(ControlCall call, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            T? read = call.Parameters is { } parameters
                ? JsonSerializer.Deserialize(parameters, type)
                : JsonSerializer.Deserialize("{}"u8, type);
            return read ?? throw new JsonException("parameters are null");
        }
        catch (InvalidOperationException noText)
        {
            // A text has half of a surrogate pair, or is no UTF-8.
            throw new JsonException("a text is no Unicode", noText);
        }
    }

    private void Status(ControlConnection from, FilterRequest request)
    {
        if (Select(from, request.Service) is not { } names)
            return;
        HashSet<ServiceName> wanted = [.. names];
        _looks.Queues(_reporter.ListenersOf(wanted), queues => from.AnswerLater(nameof(Status),
            () => from.Answer(_reporter.Status(wanted, queues), ControlJson.Default.StatusReply)));
    }

    private void Descriptors(ControlConnection from, FilterRequest request)
    {
        if (Select(from, request.Service) is not { } names)
            return;
        _looks.States(_reporter.AllDescriptors(), states => from.AnswerLater(nameof(Descriptors), () =>
        {
            // Nearly all of it lives until it is sent.
            using CollectorPause pause = new();
            pause.Expect(states.Count * AllocatedForDescriptor);
            from.Answer(_reporter.Descriptors(names, request.Service is not null, states), ControlJson.Default.DescriptorsReply);
        }));
    }

    private void Order(ControlConnection from, ControlCall call, Verb verb)
    {
        ServicesRequest request = Read(call, ControlJson.Default.ServicesRequest);
        if (request.Services is null || (request.Services.Length == 0 && !request.All) || request.Services.Contains(null))
        {
            from.Refuse(ControlNames.InvalidParameter,
                new ErrorDetail { Parameter = "services", Text = "name the services, or ask for all" });
            return;
        }
        if (_core.Frame.Shutdown is not null && verb is Verb.Start or Verb.Restart)
        {
            from.Refuse(ControlNames.ShuttingDown, new ErrorDetail { Text = "the supervisor is shutting down" });
            return;
        }
        if (_waiting.Count >= Limits.PendingRequestCount)
        {
            from.Refuse(ControlNames.LimitReached, new ErrorDetail { Text = $"{Limits.PendingRequestCount} orders wait already" });
            return;
        }
        SignalNumber? signal = request.Signal is { } text ? SignalNumber.Parse(text) : null;
        if (verb == Verb.Signal && signal is null)
        {
            string? hint = Suggestion.Nearest(request.Signal ?? "", SignalNumber.AllNames);
            from.Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = "signal", Hint = hint });
            return;
        }
        if (verb == Verb.Scale && request.Count is not (>= 1 and <= Limits.SlotCount))
        {
            from.Refuse(ControlNames.InvalidParameter,
                new ErrorDetail { Parameter = "count", Text = $"a pool has 1 to {Limits.SlotCount} slots" });
            return;
        }
        if (request.Update is not (null or "replace" or "overlap"))
        {
            from.Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = "update", Text = "write 'replace' or 'overlap'" });
            return;
        }
        if (Select(from, request) is { } names)
            Order(from, call, request, verb, names, signal);
    }

    private void Order(ControlConnection from, ControlCall call, ServicesRequest request, Verb verb,
        ImmutableArray<ServiceName> names, SignalNumber? signal)
    {
        RequestId id = new(++_requests);
        Waiting waiting = new(from, call.More, [.. names]);
        (InstanceId Instance, bool IsStopCommand)? caller = request.Wait && from.Peer.Pid > 0 ? CallerOf(from.Peer.Pid) : null;
        string?[] inVain = [.. names.Select(n => caller is { } own ? _core.WhyInVain(verb, n, own.Instance, own.IsStopCommand) : null)];
        bool waits = request.Wait && inVain.All(why => why is null);
        if (waits)
        {
            _waiting.Add(id, waiting);
            from.Closed += () => Forget(id);
        }
        _events.Feed(new Event.Requested(id, verb, names, signal)
        {
            Count = request.Count,
            Update = request.Update switch { "replace" => UpdateKind.Replace, "overlap" => UpdateKind.Overlap, _ => null },
        });
        if (!waits)
        {
            _events.Feed(new Event.ClientLeft(id));
            ServiceResult[] accepted = [.. names.Zip(inVain, (n, why) => new ServiceResult { Service = n.Text, Ok = true,
                State = StateWords.Of(_core.Find(n)!.PublicState),
                Text = why is null ? "accepted" : $"accepted and not waited for: {why}" })];
            from.Answer(new ServicesReply { Results = accepted }, ControlJson.Default.ServicesReply);
        }
    }

    /// <summary>Makes a client wait for the outcome of a reload, which goes on whether the client waits or not.</summary>
    public RequestId Await(ControlConnection from, bool wantsProgress, HashSet<ServiceName> services, Action<ServiceResult[]> finish)
    {
        RequestId id = new(++_requests);
        _waiting.Add(id, new Waiting(from, wantsProgress, services) { Finish = finish });
        return id;
    }

    private void Forget(RequestId id)
    {
        if (_waiting.Remove(id))
            _events.Feed(new Event.ClientLeft(id));
    }

    /// <summary>The core answers an order.</summary>
    public void Reply(RequestId id, ImmutableArray<Outcome> outcomes)
    {
        if (!_waiting.Remove(id, out Waiting? waiting))
            return;
        Dictionary<string, string[]> output = [];
        Outcome[] failed = [.. outcomes.Where(o => !o.Succeeded && o.Failed is not null)];
        int open = failed.Length;
        if (open == 0)
            Send();
        foreach (Outcome outcome in failed)
            TailOf(outcome, lines => { output[outcome.Service.Text] = lines; if (--open == 0) Send(); });

        void Send()
        {
            ServiceResult[] results =
                [.. outcomes.OrderBy(o => o.Service).Select(o => ToResult(o, output.GetValueOrDefault(o.Service.Text)))];
            if (waiting.Finish is { } finish)
                finish(results);
            else
                waiting.Connection.Answer(new ServicesReply { Results = results }, ControlJson.Default.ServicesReply);
        }
    }

    private void TailOf(Outcome outcome, Action<string[]> then)
    {
        InstanceId instance = outcome.Failed!.Value;
        ServiceState? state = _core.Find(outcome.Service);
        int slot = outcome.FailedSlot ?? state?.Slots.FirstOrDefault(s => s.Phase is SlotPhase.Failed or SlotPhase.BackingOff)?.Slot ?? 0;
        _pump.Flush(instance.Number, () => _pump.TailOfInstance(outcome.Service.Text, slot, instance.Number, 10, then));
    }

    private static ServiceResult ToResult(Outcome outcome, string[]? output) => new()
    {
        Service = outcome.Service.Text,
        Ok = outcome.Succeeded,
        State = StateWords.Of(outcome.State),
        Text = outcome.Text,
        ElapsedMs = (long)outcome.Elapsed.TotalMilliseconds,
        Output = output is { Length: > 0 } ? output : null,
    };

    private void Logs(ControlConnection from, ControlCall call, LogsRequest request)
    {
        if (Select(from, request.Service) is not { } names)
            return;
        string[]? only = request.Service is null ? null : [.. names.Select(n => n.Text)];
        int count = Math.Clamp(request.Lines, 0, MostLogLines);
        if (!request.Follow || !call.More)
        {
            _pump.Tail(only, count, lines => Tell(from, lines, 0, call.More));
            return;
        }
        LogFollower? follower = null;
        from.IsFollowing = true;
        follower = _pump.Follow(only, count, (lines, lost) =>
        {
            from.Continue(new LogsReply(lines, lost), ControlJson.Default.LogsReply);
            if (from.IsClosed)
                return;
            // The next batch comes when the peer has read this one: a slow reader grows nothing but its own bounded queue.
            if (from.PendingBytes == 0)
                follower!.Continue();
            else
                from.OnDrained = follower!.Continue;
        });
        from.Closed += follower.Dispose;
    }

    /// <summary>
    /// Sends the remembered lines from <paramref name="next"/> on, batch after batch as the peer reads them. A peer that takes a
    /// single answer gets the newest lines that fit into it.
    /// </summary>
    private static void Tell(ControlConnection to, LogLine[] lines, int next, bool inBatches)
    {
        if (!inBatches)
        {
            int first = lines.Length;
            for (long room = AnswerBytes; first > 0 && (room -= SizeOf(lines[first - 1])) >= 0;)
                first--;
            to.Answer(new LogsReply(lines[first..], first), ControlJson.Default.LogsReply);
            return;
        }
        while (!to.IsClosed)
        {
            int end = EndOfBatch(lines, next);
            if (end == lines.Length)
                break;
            to.Continue(new LogsReply(lines[next..end]), ControlJson.Default.LogsReply);
            next = end;
            if (to.PendingBytes == 0)
                continue;
            to.OnDrained = () => Tell(to, lines, next, inBatches);
            return;
        }
        if (!to.IsClosed)
            to.Answer(new LogsReply(lines[next..]), ControlJson.Default.LogsReply);
    }

    private static int EndOfBatch(LogLine[] lines, int next)
    {
        int end = next;
        for (long room = AnswerBytes; end < lines.Length && end - next < LinesPerAnswer; end++)
        {
            room -= SizeOf(lines[end]);
            if (room < 0 && end > next)
                break;
        }
        return end;
    }

    private static long SizeOf(LogLine line) => 256 + (JsonGrowth * (long)line.Text.Length);

    private void Events(ControlConnection from, ControlCall call, EventsRequest request)
    {
        bool follow = from.IsFollowing = request.Follow && call.More;
        Tell(from, 0, follow ? long.MaxValue : _journal.Count, follow);
    }

    /// <summary>
    /// Sends the kept events from <paramref name="next"/> on, batch after batch as the peer reads them, because all together may be larger
    /// than the connection's queue. After that a follower gets new events as they happen.
    /// </summary>
    private void Tell(ControlConnection to, long next, long end, bool follow)
    {
        while (!to.IsClosed)
        {
            JournalEntry[] batch = _journal.Read(next, end, EventsPerAnswer, out long lost);
            if (batch.Length == 0 && lost == 0)
                break;
            WriteEvents(to, batch, lost, continues: true);
            next += lost + batch.Length;
            if (to.PendingBytes == 0)
                continue;
            to.OnDrained = () => Tell(to, next, end, follow);
            return;
        }
        if (to.IsClosed)
            return;
        if (!follow)
        {
            WriteEvents(to, [], 0, continues: false);
            return;
        }
        _followers.Add((to, 0));
        to.Closed += () => _followers.RemoveAll(f => f.Connection == to);
    }

    private void Publish(JournalEntry entry)
    {
        for (int i = 0; i < _followers.Count; i++)
        {
            (ControlConnection connection, long lost) = _followers[i];
            if (connection.PendingBytes > 1 << 20)
            {
                _followers[i] = (connection, lost + 1);
                continue;
            }
            int before = _followers.Count;
            WriteEvents(connection, [entry], lost, continues: true, mayWait: true);
            if (_followers.Count != before)
                i--;
            else if (lost > 0)
                _followers[i] = (connection, 0);
        }
        if (entry.What is Notice { Service: { } service } notice)
            Progress(service, notice);
    }

    private void Progress(ServiceName service, Notice notice)
    {
        if (_waiting.Count == 0 || _core.Find(service) is null || StateAfter(notice) is not { } progress)
            return;
        foreach (Waiting waiting in _waiting.Values.ToArray())
        {
            if (waiting.WantsProgress && waiting.Services.Contains(service))
                waiting.Connection.Continue(new ServicesReply { Progress = progress }, ControlJson.Default.ServicesReply, mayWait: true);
        }
    }

    /// <summary>What a ready instance of a rollout still has to prove.</summary>
    private string? ProofOf(Notice.Ready ready)
    {
        if (_core.Find(ready.Instance.Service)?.Rollout is not { IsBack: false, Prove.Ticks: > 0 } rollout)
            return null;
        return rollout.Generation == ready.Generation
            ? $"generation {ready.Generation} proves itself for {Spans.Show(rollout.Prove)}"
            : null;
    }

    private ServiceProgress? StateAfter(Notice notice) => notice switch
    {
        Notice.Spawned e => new(e.Instance.Service.Text, e.Slot, "starting", $"generation {e.Generation}, pid {e.Pid}"),
        Notice.Ready e => new(e.Instance.Service.Text, e.Slot, "ready", ProofOf(e)),
        Notice.Completed e => new(e.Instance.Service.Text, e.Slot, "completed", null),
        Notice.Draining e => new(e.Instance.Service.Text, e.Slot, "draining", $"generation {e.Generation}: {e.Reason}"),
        Notice.Killing e => new(e.Instance.Service.Text, e.Slot, "draining", "killing it"),
        Notice.DrainProgressed e => new(e.Instance.Service.Text, e.Slot, "draining", $"generation {e.Generation}: {e.RemainingCount} left"),
        Notice.RolledBack e => new(e.Of.Text, 0, "draining", $"rolling back to generation {e.Former}: {e.Reason}"),
        Notice.Stopped e => new(e.Of.Text, e.Slot, "stopped", null),
        Notice.ExecFailed e => new(e.Instance.Service.Text, e.Slot, "backing-off", e.Failure.Text),
        Notice.Restarting e => new(e.Of.Text, e.Slot, "backing-off", e.Reason),
        Notice.Failed e => new(e.Of.Text, e.Slot, "failed", e.Failure.ToString()),
        _ => null,
    };

    private void WriteEvents(ControlConnection to, JournalEntry[] entries, long lost, bool continues, bool mayWait = false) => to.Send(
        json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("events");
            foreach (JournalEntry entry in entries)
                Journal.Write(json, entry, _listeners.AddressOf);
            json.WriteEndArray();
            json.WriteNumber("lost", lost);
            json.WriteEndObject();
        },
        continues,
        mayWait);

    private void Shutdown(ControlConnection from)
    {
        _shutdownCallers.Add(from);
        from.Closed += () => _shutdownCallers.Remove(from);
        _events.Feed(new Event.ShutdownAsked("an operator asked for it", IsImmediate: false));
    }

    /// <summary>Everything has ended: tells the operators who asked for the shutdown.</summary>
    public void AnswerShutdown()
    {
        ImmutableArray<(ServiceName Service, Failure Why)> givenUp = _core.Frame.Shutdown?.GivenUp ?? [];
        string[]? left = givenUp.IsEmpty ? null : [.. givenUp.Select(g => $"{g.Service}: {g.Why}")];
        int stopped = _core.Services.Count - givenUp.Select(g => g.Service).Distinct().Count();
        foreach (ControlConnection caller in _shutdownCallers.ToArray())
            caller.Answer(new ShutdownReply(stopped, left), ControlJson.Default.ShutdownReply);
    }

    private ImmutableArray<ServiceName>? Select(ControlConnection from, ServicesRequest request) =>
        request.All ? [.. _core.Services.Select(s => s.Definition.Name)] : Select(from, request.Services);

    private ImmutableArray<ServiceName>? Select(ControlConnection from, string? pattern) =>
        pattern is null ? [.. _core.Services.Select(s => s.Definition.Name)]
        : !pattern.AsSpan().ContainsAny("*?\\") && _core.Find(new ServiceName(pattern)) is { } one ? [one.Definition.Name]
        : Select(from, [pattern]);

    private ImmutableArray<ServiceName>? Select(ControlConnection from, string[] patterns)
    {
        List<ServiceName> selected = [];
        foreach (string pattern in patterns)
        {
            ServiceName[] found = [.. _core.Services.Select(s => s.Definition.Name).Where(n => n.Text == pattern
                || FileSystemName.MatchesSimpleExpression(pattern, n.Text, ignoreCase: false))];
            if (found.Length == 0)
            {
                string? hint = Suggestion.Nearest(pattern, _core.Services.Select(s => s.Definition.Name.Text));
                string text = pattern.AsSpan().ContainsAny("*?") ? $"no service matches '{pattern}'" : $"there is no service '{pattern}'";
                from.Refuse(ControlNames.NoSuchService, new ErrorDetail { Name = pattern, Hint = hint, Text = text });
                return null;
            }
            selected.AddRange(found);
        }
        return [.. selected.Distinct()];
    }

    private static void Describe(ControlConnection from, InterfaceRequest request)
    {
        if (request.Interface == ControlNames.Interface)
            from.Send(WriteDescription, continues: false);
        else
            from.Refuse(ControlNames.InterfaceNotFound, new ErrorDetail { Name = request.Interface });
    }

    private static void WriteInfo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("vendor", "launchd-cs");
        json.WriteString("product", "launchd-cs");
        json.WriteString("version", ProductVersion.Text);
        json.WriteString("url", "");
        json.WriteStartArray("interfaces");
        json.WriteStringValue("org.varlink.service");
        json.WriteStringValue(ControlNames.Interface);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteDescription(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("description", InterfaceDescription.Text);
        json.WriteEndObject();
    }

    /// <summary>A client that waits for the outcome of an order.</summary>
    private sealed record Waiting(ControlConnection Connection, bool WantsProgress, HashSet<ServiceName> Services)
    {
        /// <summary>Answers in another form than that of an order; null: answers in that form.</summary>
        public Action<ServiceResult[]>? Finish { get; init; }
    }
}
