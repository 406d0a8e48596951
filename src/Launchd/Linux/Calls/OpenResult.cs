using System.Diagnostics.CodeAnalysis;
using Launchd.Client;

namespace Launchd.Linux.Calls;

/// <summary>Why something could not be opened. <see cref="ToString"/> is one sentence for people.</summary>
/// <param name="Call">Name of the refused call, as in its manual page.</param>
/// <param name="Subject">What was to be done: <c>cannot listen on tcp://127.0.0.1:8080</c>.</param>
/// <param name="Errno">The kernel's answer.</param>
/// <param name="Known">Cause or remedy where one is known; goes into brackets.</param>
internal sealed record OpenFailure(string Call, string Subject, Errno Errno, string? Known = null)
{
    /// <summary>
    /// Finds out what <see cref="Known"/> does not say, such as which process has the port. This walks through tables of the whole machine
    /// and takes time, so the loop leaves it to another thread.
    /// </summary>
    public Func<string?>? Look { get; init; }

    /// <summary>Cause or remedy; null: none is known.</summary>
    public string? Explanation => Known ?? Look?.Invoke();

    public override string ToString() => Explanation is { } why ? $"{Subject}: {Errno.Text} ({why})" : $"{Subject}: {Errno.Text}";
}

/// <summary>Either what was opened, owned by the receiver, or the reason why it was not; in that case nothing is left open.</summary>
internal readonly struct OpenResult<T>
    where T : notnull
{
    private readonly T? _value;

    private OpenResult(T? value, OpenFailure? failure)
    {
        _value = value;
        Failure = failure;
    }

    /// <summary>Null when it was opened.</summary>
    public OpenFailure? Failure { get; }

    /// <summary>What was opened. Reading it after a failure is a mistake of the caller.</summary>
    public T Value => Failure is null ? _value! : throw new InvalidOperationException(Failure.ToString());

    public bool TryGet([MaybeNullWhen(false)] out T value, [NotNullWhen(false)] out OpenFailure? failure)
    {
        value = _value;
        failure = Failure;
        return failure is null;
    }

    public static implicit operator OpenResult<T>(T valueTaken) => new(valueTaken, null);

    public static implicit operator OpenResult<T>(OpenFailure failure) => new(default, failure);
}
