using Launchd.Client;

namespace Launchd.Linux;

/// <summary>The kernel refused a call that was not expected to fail. Expected refusals are values: <see cref="OpenFailure"/> and the
/// like.</summary>
internal sealed class SystemCallException(string call, string subject, Errno errno)
    : Exception($"{call} {subject}: {errno.Text}")
{
    /// <summary>Name of the call, as in its manual page.</summary>
    public string Call { get; } = call;

    /// <summary>What it was called on.</summary>
    public string Subject { get; } = subject;
    public Errno Errno { get; } = errno;
}
