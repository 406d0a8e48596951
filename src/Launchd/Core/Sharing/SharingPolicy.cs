using Launchd.Model;

namespace Launchd.Core.Sharing;

/// <summary>
/// Which service may have which descriptors of another: the owner's <c>share</c> and the asking service's
/// <c>request</c> must both allow it. Everything else is denied.
/// </summary>
internal static class SharingPolicy
{
    /// <summary>
    /// Null: the request is allowed. Else the rules that the configuration lacks: of the owner, of the asking service, or of both.
    /// </summary>
    public static string? WhyDenied(ServiceDefinition asking, ServiceDefinition owner, string name)
    {
        bool isShared = IsShared(owner, asking.Name, name);
        bool isRequested = IsRequested(asking, owner.Name, name);
        if (isShared && isRequested)
            return null;
        string share = $"services.{owner.Name}.share = {{ \"{name}\" = [\"{asking.Name}\"] }}";
        string request = $"services.{asking.Name}.request = [\"{owner.Name}/{name}\"]";
        return isShared ? request : isRequested ? share : $"{share} and {request}";
    }

    public static bool IsAllowed(ServiceDefinition asking, ServiceDefinition owner, string name) =>
        IsShared(owner, asking.Name, name) && IsRequested(asking, owner.Name, name);

    /// <summary>Whether the one service may ask the other for any descriptor at all.</summary>
    public static bool Knows(ServiceDefinition asking, ServiceDefinition owner)
    {
        foreach (RequestRule rule in asking.Request)
        {
            if (rule.Service == owner.Name.Text)
                return true;
        }
        return false;
    }

    private static bool IsShared(ServiceDefinition owner, ServiceName asking, string name)
    {
        foreach (ShareRule rule in owner.Share)
        {
            if (!Wildcard.Matches(rule.Pattern, name))
                continue;
            foreach (string service in rule.Services)
            {
                if (service == "*" || service == asking.Text)
                    return true;
            }
        }
        return false;
    }

    private static bool IsRequested(ServiceDefinition asking, ServiceName owner, string name)
    {
        foreach (RequestRule rule in asking.Request)
        {
            if (rule.Service == owner.Text && Wildcard.Matches(rule.Pattern, name))
                return true;
        }
        return false;
    }
}
