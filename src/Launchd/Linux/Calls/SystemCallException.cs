using Launchd.Client;

namespace Launchd.Linux.Calls;

/// <summary>The kernel refused a call that was not expected to fail. Expected refusals are values: <see cref="OpenFailure"/> and the
/// like.</summary>
/// <param name="call">Name of the call.</param>
/// <param name="subject">What it was called on.</param>
/// <param name="errno">Why it was refused.</param>
/// <param name="remedy">What the operator can do about it; null: nothing that would be known.</param>
internal sealed class SystemCallException(string call, string subject, Errno errno, string? remedy = null)
    : Exception($"{call} {subject}: {errno.Text}{(remedy is null ? "" : "; " + remedy)}")
{
    /// <summary>Name of the call, as in its manual page.</summary>
    public string Call { get; } = call;

    /// <summary>What it was called on.</summary>
    public string Subject { get; } = subject;
    public Errno Errno { get; } = errno;
}
