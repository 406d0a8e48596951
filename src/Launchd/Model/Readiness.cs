using System.Collections.Immutable;
using System.Net;

namespace Launchd.Model;

/// <summary>What makes an instance ready. A closed family.</summary>
internal abstract record Readiness
{
    private Readiness()
    {
    }

    /// <summary>The program was executed.</summary>
    internal sealed record Spawned : Readiness
    {
        public static readonly Spawned Value = new();
    }

    /// <summary><c>READY=1</c> on the notify socket.</summary>
    internal sealed record Notify : Readiness
    {
        public static readonly Notify Value = new();
    }

    /// <summary>
    /// The program has ended, in a way that its service calls a success: a job, for which others wait. It has no limit of time by
    /// itself, is never ready while it runs, and completed afterwards.
    /// </summary>
    internal sealed record Exited : Readiness
    {
        public static readonly Exited Value = new();
    }

    /// <summary>A newline written to this descriptor number of the child, as s6 does.</summary>
    internal sealed record Descriptor(int Number) : Readiness;

    /// <summary>A line of output (either stream, which must be <c>log</c>) in which this regular expression matches.</summary>
    internal sealed record Output(string Pattern) : Readiness;

    /// <summary>A probe that the supervisor repeats until it succeeds.</summary>
    internal sealed record Probed(ProbeTarget Target) : Readiness;
}

/// <summary>Something that is asked whether it answers. A closed family.</summary>
internal abstract record ProbeTarget
{
    private ProbeTarget()
    {
    }

    /// <summary>GET over plain HTTP/1.1; 200 to 399 is success. <paramref name="Host"/> is the Host header.</summary>
    internal sealed record Http(IPEndPoint EndPoint, string Host, string PathAndQuery) : ProbeTarget
    {
        /// <summary>The file says <c>localhost</c>: where 127.0.0.1 refuses, ::1 is asked.</summary>
        public bool IsLocalhost { get; init; }
    }

    /// <summary>A TCP connection that succeeds.</summary>
    internal sealed record Tcp(IPEndPoint EndPoint) : ProbeTarget
    {
        /// <summary>As for <see cref="Http"/>.</summary>
        public bool IsLocalhost { get; init; }
    }

    /// <summary>A Unix stream connection that succeeds.</summary>
    internal sealed record Unix(string SocketPath) : ProbeTarget;

    /// <summary>A command that exits with 0.</summary>
    internal sealed record Command(ImmutableArray<string> Arguments) : ProbeTarget;
}

/// <summary>A probe repeated while the instance is ready.</summary>
internal sealed record HealthCheck(ProbeTarget Target, TimeSpan Interval, TimeSpan Timeout, int FailureCount);
