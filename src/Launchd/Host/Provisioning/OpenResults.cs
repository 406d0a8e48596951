using Launchd.Linux.Calls;


namespace Launchd.Host.Provisioning;

/// <summary>Gets the value of a result in one expression.</summary>
internal static class OpenResults
{
    public static T ValueOr<T>(this OpenResult<T> result, Func<OpenFailure, T> otherwise)
        where T : class =>
        result.TryGet(out T? value, out OpenFailure? failure) ? value : otherwise(failure);
}
