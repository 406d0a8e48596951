namespace Launchd.Client;

/// <summary>A refusal: of the supervisor, of the kernel, or because there is no supervisor. <see cref="Error"/> tells them apart.</summary>
public sealed class LaunchdException : Exception
{
    /// <summary>A refusal with its reason.</summary>
    /// <param name="error">What kind of refusal.</param>
    /// <param name="message">A sentence for people.</param>
    /// <param name="detail">What a program may want of it: a rule, a limit, a parameter, a hint.</param>
    /// <param name="errorNumber">errno(3), 0 if the kernel had no part in it.</param>
    public LaunchdException(LaunchdError error, string message, string? detail = null, int errorNumber = 0)
        : base(message)
    {
        Error = error;
        Detail = detail;
        ErrorNumber = errorNumber;
    }

    /// <summary>What kind of refusal.</summary>
    public LaunchdError Error { get; }

    /// <summary>The rule, limit, parameter or hint that belongs to it; null if there is none.</summary>
    public string? Detail { get; }

    /// <summary>errno(3), 0 if the kernel had no part in it.</summary>
    public int ErrorNumber { get; }

    internal static LaunchdException Kernel(string call, Errno errno) =>
        new(LaunchdError.Kernel, $"{call}: {errno.Text}", call, errno.Value);

    internal static LaunchdException Environment(string variable, string problem, Errno errno) =>
        new(LaunchdError.BadEnvironment, $"{variable} {problem}", variable, errno.Value);
}
