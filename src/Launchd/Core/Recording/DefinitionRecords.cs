using System.Net;
using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>How the definition of a service is written.</summary>
internal static class DefinitionRecords
{
    private static readonly Codec<EnvironmentVariable> Variables = new Layout<EnvironmentVariable>("a variable", new("", ""))
        .With(1, Text, e => e.Name, (e, v) => e with { Name = v })
        .With(2, Text, e => e.Value, (e, v) => e with { Value = v })
        .With(3, Bool, e => e.IsPassed, (e, v) => e with { IsPassed = v });

    private static readonly Codec<EnvironmentFile> EnvironmentFiles = new Layout<EnvironmentFile>("a file of variables", new("", false))
        .With(1, Text, e => e.FilePath, (e, v) => e with { FilePath = v })
        .With(2, Bool, e => e.IsOptional, (e, v) => e with { IsOptional = v });

    private static readonly Codec<ResourceLimit> ResourceLimits = new Layout<ResourceLimit>("a limit", default)
        .With(1, Enum<ResourceKind>(), l => l.Kind, (l, v) => l with { Kind = v })
        .With(2, ULong, l => l.Soft, (l, v) => l with { Soft = v })
        .With(3, ULong, l => l.Hard, (l, v) => l with { Hard = v });

    private static readonly Codec<CgroupPolicy> Cgroups = new Layout<CgroupPolicy>("a cgroup", new())
        .With(1, TextOrNull, c => c.MemoryMax, (c, v) => c with { MemoryMax = v })
        .With(2, TextOrNull, c => c.MemoryHigh, (c, v) => c with { MemoryHigh = v })
        .With(3, TextOrNull, c => c.CpuMax, (c, v) => c with { CpuMax = v })
        .With(4, TextOrNull, c => c.PidsMax, (c, v) => c with { PidsMax = v })
        .With(5, TextOrNull, c => c.IoWeight, (c, v) => c with { IoWeight = v });

    private static readonly Codec<Execution> Executions = new Layout<Execution>(
        "the surroundings of a service", new() { Environment = [], WorkingDirectory = "" })
        .With(1, List(Variables), e => e.Environment, (e, v) => e with { Environment = v })
        .With(2, List(EnvironmentFiles), e => e.EnvironmentFiles, (e, v) => e with { EnvironmentFiles = v })
        .With(3, Text, e => e.WorkingDirectory, (e, v) => e with { WorkingDirectory = v })
        .With(4, Int, e => e.Umask, (e, v) => e with { Umask = v })
        .With(5, TextOrNull, e => e.User, (e, v) => e with { User = v })
        .With(6, TextOrNull, e => e.Group, (e, v) => e with { Group = v })
        .With(7, List(Text), e => e.SupplementaryGroups, (e, v) => e with { SupplementaryGroups = v })
        .With(8, List(ResourceLimits), e => e.Limits, (e, v) => e with { Limits = v })
        .With(9, OrNull(Int), e => e.Nice, (e, v) => e with { Nice = v })
        .With(10, OrNull(Int), e => e.OomScoreAdjust, (e, v) => e with { OomScoreAdjust = v })
        .With(11, OrNull(ULong), e => e.Capabilities, (e, v) => e with { Capabilities = v })
        .With(12, ULong, e => e.AmbientCapabilities, (e, v) => e with { AmbientCapabilities = v })
        .With(13, Bool, e => e.NoNewPrivileges, (e, v) => e with { NoNewPrivileges = v })
        .With(14, OrNull(Signal), e => e.ParentDeathSignal, (e, v) => e with { ParentDeathSignal = v })
        .With(15, Bool, e => e.IgnoreSigpipe, (e, v) => e with { IgnoreSigpipe = v })
        .With(16, OrNone(Cgroups), e => e.Cgroup, (e, v) => e with { Cgroup = v });

    private static readonly Codec<InputSource> Inputs = new Family<InputSource>("a kind of input")
        .With(1, new Layout<InputSource.Null>("no input", InputSource.Null.Value))
        .With(2, new Layout<InputSource.Open>("an input that never ends", InputSource.Open.Value))
        .With(3, new Layout<InputSource.File>("an input", new("")).With(1, Text, i => i.FilePath, (i, v) => i with { FilePath = v }))
        .With(4, new Layout<InputSource.Socket>("a socket as input", InputSource.Socket.Value));

    private static readonly Codec<OutputTarget> Outputs = new Family<OutputTarget>("a kind of output")
        .With(1, new Layout<OutputTarget.Log>("a log", OutputTarget.Log.Value))
        .With(2, new Layout<OutputTarget.Inherit>("the supervisor's output", OutputTarget.Inherit.Value))
        .With(3, new Layout<OutputTarget.Null>("no output", OutputTarget.Null.Value))
        .With(4, new Layout<OutputTarget.File>("an output", new("")).With(1, Text, o => o.FilePath, (o, v) => o with { FilePath = v }))
        .With(5, new Layout<OutputTarget.Socket>("a socket as output", OutputTarget.Socket.Value));

    private static readonly IPEndPoint NoEndPoint = new(IPAddress.Any, 0);

    private static readonly Codec<ProbeTarget> Targets = new Family<ProbeTarget>("a kind of probe")
        .With(1, new Layout<ProbeTarget.Http>("a probe by HTTP", new(NoEndPoint, "", ""))
            .With(1, EndPoints, t => t.EndPoint, (t, v) => t with { EndPoint = v })
            .With(2, Text, t => t.Host, (t, v) => t with { Host = v })
            .With(3, Text, t => t.PathAndQuery, (t, v) => t with { PathAndQuery = v })
            .With(4, Bool, t => t.IsLocalhost, (t, v) => t with { IsLocalhost = v }))
        .With(2, new Layout<ProbeTarget.Tcp>("a probe by TCP", new(NoEndPoint))
            .With(1, EndPoints, t => t.EndPoint, (t, v) => t with { EndPoint = v })
            .With(2, Bool, t => t.IsLocalhost, (t, v) => t with { IsLocalhost = v }))
        .With(3, new Layout<ProbeTarget.Unix>("a probe of a Unix socket", new(""))
            .With(1, Text, t => t.SocketPath, (t, v) => t with { SocketPath = v }))
        .With(4, new Layout<ProbeTarget.Command>("a probe by a command", new([]))
            .With(1, List(Text), t => t.Arguments, (t, v) => t with { Arguments = v }));

    private static readonly Codec<Readiness> Readinesses = new Family<Readiness>("a kind of readiness")
        .With(1, new Layout<Readiness.Spawned>("readiness by birth", Readiness.Spawned.Value))
        .With(2, new Layout<Readiness.Notify>("readiness by message", Readiness.Notify.Value))
        .With(3, new Layout<Readiness.Descriptor>("readiness by descriptor", new(0))
            .With(1, Int, d => d.Number, (d, v) => d with { Number = v }))
        .With(4, new Layout<Readiness.Output>("readiness by output", new(""))
            .With(1, Text, o => o.Pattern, (o, v) => o with { Pattern = v }))
        .With(5, new Layout<Readiness.Probed>("readiness by probe", new((ProbeTarget)null!), p => p.Target is not null)
            .With(1, Targets, p => p.Target, (p, v) => p with { Target = v }))
        .With(6, new Layout<Readiness.Exited>("readiness by a good end", Readiness.Exited.Value));

    private static readonly Codec<HealthCheck> HealthChecks = new Layout<HealthCheck>(
        "a health check", new(null!, default, default, 0), h => h.Target is not null)
        .With(1, Targets, h => h.Target, (h, v) => h with { Target = v })
        .With(2, Span, h => h.Interval, (h, v) => h with { Interval = v })
        .With(3, Span, h => h.Timeout, (h, v) => h with { Timeout = v })
        .With(4, Int, h => h.FailureCount, (h, v) => h with { FailureCount = v });

    private static readonly Codec<BackoffPolicy> Backoffs = new Layout<BackoffPolicy>("a back-off", BackoffPolicy.Default)
        .With(1, Span, b => b.Initial, (b, v) => b with { Initial = v })
        .With(2, Factor, b => b.Factor, (b, v) => b with { Factor = v })
        .With(3, Span, b => b.Max, (b, v) => b with { Max = v })
        .With(4, Factor, b => b.Jitter, (b, v) => b with { Jitter = v })
        .With(5, Span, b => b.ResetAfter, (b, v) => b with { ResetAfter = v });

    private static readonly Codec<StopPolicy> Stops = new Layout<StopPolicy>("how an instance is stopped", StopPolicy.Default)
        .With(1, Signal, s => s.Signal, (s, v) => s with { Signal = v })
        .With(2, Span, s => s.Timeout, (s, v) => s with { Timeout = v })
        .With(3, List(Text), s => s.Command, (s, v) => s with { Command = v })
        .With(4, Enum<KillScope>(), s => s.Kill, (s, v) => s with { Kill = v });

    private static readonly Codec<ReloadAction> Reloads = new Family<ReloadAction>("a kind of reload")
        .With(1, new Layout<ReloadAction.Signal>("a reload by signal", new(SignalNumber.Hup))
            .With(1, Signal, a => a.Number, (a, v) => a with { Number = v }))
        .With(2, new Layout<ReloadAction.Command>("a reload by command", new([]))
            .With(1, List(Text), a => a.Arguments, (a, v) => a with { Arguments = v }));

    private static readonly Codec<RolloutPolicy> RolloutPolicies = new Layout<RolloutPolicy>(
        "the bounds of a rollout", RolloutPolicy.Default, p => p is { SurgeCount: >= 0, UnavailableCount: >= 0 })
        .With(1, Int, p => p.SurgeCount, (p, v) => p with { SurgeCount = v })
        .With(2, Int, p => p.UnavailableCount, (p, v) => p with { UnavailableCount = v })
        .With(3, Span, p => p.Prove, (p, v) => p with { Prove = v })
        .With(4, Enum<RolloutFailure>(), p => p.OnFailure, (p, v) => p with { OnFailure = v });

    private static readonly Codec<ShareRule> ShareRules = new Layout<ShareRule>("a rule of sharing", new("", []))
        .With(1, Text, s => s.Pattern, (s, v) => s with { Pattern = v })
        .With(2, List(Text), s => s.Services, (s, v) => s with { Services = v });

    private static readonly Codec<RequestRule> RequestRules = new Layout<RequestRule>("a rule of asking", new("", ""))
        .With(1, Text, s => s.Service, (s, v) => s with { Service = v })
        .With(2, Text, s => s.Pattern, (s, v) => s with { Pattern = v });

    private static readonly Codec<LogPolicy> Logs = new Layout<LogPolicy>("a log", new() { FilePath = "" })
        .With(1, Text, l => l.FilePath, (l, v) => l with { FilePath = v })
        .With(2, Long, l => l.MaxSizeBytes, (l, v) => l with { MaxSizeBytes = v })
        .With(3, Int, l => l.KeepCount, (l, v) => l with { KeepCount = v })
        .With(4, Bool, l => l.Timestamps, (l, v) => l with { Timestamps = v })
        .With(5, TextOrNull, l => l.User, (l, v) => l with { User = v })
        .With(6, TextOrNull, l => l.Group, (l, v) => l with { Group = v })
        .With(7, OrNull(Int), l => l.Mode, (l, v) => l with { Mode = v });

    private static readonly ServiceDefinition Blank = new()
    {
        Name = default,
        Command = [],
        Execution = null!,
        Update = default,
    };

    /// <summary>The whole definition, under whose number <see cref="Definition"/> refers to it.</summary>
    public static readonly Codec<ServiceDefinition> Services = new Layout<ServiceDefinition>("a service's definition", Blank, IsSound)
        .With(1, Name, s => s.Name, (s, v) => s with { Name = v })
        .With(2, TextOrNull, s => s.Description, (s, v) => s with { Description = v })
        .With(3, List(Text), s => s.Command, (s, v) => s with { Command = v })
        .With(4, List(Text), s => s.Sockets, (s, v) => s with { Sockets = v })
        .With(5, List(Text), s => s.Files, (s, v) => s with { Files = v })
        .With(6, Enum<StartKind>(), s => s.Start, (s, v) => s with { Start = v })
        .With(7, Int, s => s.InstanceCount, (s, v) => s with { InstanceCount = v })
        .With(8, List(Name), s => s.Requires, (s, v) => s with { Requires = v })
        .With(9, List(Name), s => s.Wants, (s, v) => s with { Wants = v })
        .With(10, List(Name), s => s.After, (s, v) => s with { After = v })
        .With(11, List(Name), s => s.Before, (s, v) => s with { Before = v })
        .With(12, Executions, s => s.Execution, (s, v) => s with { Execution = v })
        .With(13, Bool, s => s.HasTerminal, (s, v) => s with { HasTerminal = v })
        .With(14, Inputs, s => s.Input, (s, v) => s with { Input = v })
        .With(15, Outputs, s => s.Output, (s, v) => s with { Output = v })
        .With(16, Outputs, s => s.Error, (s, v) => s with { Error = v })
        .With(17, Readinesses, s => s.Ready, (s, v) => s with { Ready = v })
        .With(18, Span, s => s.ReadyTimeout, (s, v) => s with { ReadyTimeout = v })
        .With(19, OrNone(HealthChecks), s => s.Health, (s, v) => s with { Health = v })
        .With(20, OrNull(Span), s => s.Watchdog, (s, v) => s with { Watchdog = v })
        .With(21, Enum<RestartKind>(), s => s.Restart, (s, v) => s with { Restart = v })
        .With(22, Backoffs, s => s.Backoff, (s, v) => s with { Backoff = v })
        .With(23, DescriptorRecords.RateLimits, s => s.StartLimit, (s, v) => s with { StartLimit = v })
        .With(24, List(Int), s => s.SuccessCodes, (s, v) => s with { SuccessCodes = v })
        .With(25, List(Signal), s => s.SuccessSignals, (s, v) => s with { SuccessSignals = v })
        .With(26, Stops, s => s.Stop, (s, v) => s with { Stop = v })
        .With(27, OrNone(Reloads), s => s.Reload, (s, v) => s with { Reload = v })
        .With(28, OrNull(Span), s => s.IdleTimeout, (s, v) => s with { IdleTimeout = v })
        .With(29, Enum<UpdateKind>(), s => s.Update, (s, v) => s with { Update = v })
        .With(30, RolloutPolicies, s => s.Rollout, (s, v) => s with { Rollout = v })
        .With(31, Int, s => s.FdStoreCount, (s, v) => s with { FdStoreCount = v })
        .With(32, Enum<FdStoreKeep>(), s => s.FdStoreKeep, (s, v) => s with { FdStoreKeep = v })
        .With(33, List(ShareRules), s => s.Share, (s, v) => s with { Share = v })
        .With(34, List(RequestRules), s => s.Request, (s, v) => s with { Request = v })
        .With(35, Enum<NotifyAccess>(), s => s.NotifyAccess, (s, v) => s with { NotifyAccess = v })
        .With(36, Bool, s => s.ListenEnvironment, (s, v) => s with { ListenEnvironment = v })
        .With(37, OrNone(Logs), s => s.Log, (s, v) => s with { Log = v })
        .With(38, Int, s => s.LongestLineBytes, (s, v) => s with { LongestLineBytes = v });

    private static bool IsSound(ServiceDefinition s) =>
        s.Name.Text is { } name && ServiceName.IsValid(name) && s.Execution is not null
        && s.InstanceCount is >= 1 and <= Limits.SlotCount && s.FdStoreCount >= 0 && !s.Command.IsEmpty;
}
