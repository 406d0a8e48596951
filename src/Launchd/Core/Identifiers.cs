using Launchd.Model;

namespace Launchd.Core;

/// <summary>One run of a service's program. The number counts over the supervisor's whole life and is never used again.</summary>
internal readonly record struct InstanceId(ServiceName Service, long Number)
{
    public override string ToString() => $"{Service}#{Number}";
}

/// <summary>One order of an operator that waits for its outcome.</summary>
internal readonly record struct RequestId(long Number);

/// <summary>A connection that the host accepted for a service with <c>start = "connection"</c>.</summary>
internal readonly record struct ConnectionId(long Number);

/// <summary>A descriptor that the host received from an instance.</summary>
internal readonly record struct DescriptorId(long Number);

/// <summary>
/// At most one timer is armed under a key. The subject is an instance's number, or a slot's for <see cref="TimerKind.Backoff"/>,
/// 0 where a service or the supervisor has only one.
/// </summary>
internal readonly record struct TimerKey(TimerKind Kind, ServiceName Service, long Subject);

/// <summary>What a timer is for.</summary>
internal enum TimerKind
{
    /// <summary>The connections that an instance is to be born with must be there by then.</summary>
    Prepare,

    /// <summary>A starting instance must be ready by then.</summary>
    Ready,

    /// <summary>A reload that an operator asked for is waited for until then.</summary>
    Reload,

    /// <summary>The next stage of stopping an instance.</summary>
    Stop,

    /// <summary>The next look at the queues that an instance is to empty before it is told to end.</summary>
    Queue,

    /// <summary>A ready instance must have pinged by then.</summary>
    Watchdog,

    /// <summary>A new instance has been ready as long as its rollout asks for.</summary>
    Prove,

    /// <summary>A slot's next attempt.</summary>
    Backoff,

    /// <summary>Activation resumes after its limit was reached.</summary>
    Activation,

    /// <summary>The end of a window of <c>idle_timeout</c>.</summary>
    Idle,

    /// <summary>The end of the whole shutdown's time.</summary>
    Shutdown,
}
