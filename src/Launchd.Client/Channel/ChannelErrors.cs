using System.Text.Json;

namespace Launchd.Client.Channel;

/// <summary>The errors of the wire as exceptions.</summary>
internal static class ChannelErrors
{
    private const string Prefix = "org.launchd-cs.Instance.";

    public static LaunchdException From(ChannelPacket packet)
    {
        string name = packet.Error!.StartsWith(Prefix, StringComparison.Ordinal) ? packet.Error[Prefix.Length..] : packet.Error;
        (LaunchdError error, string? detail) = name switch
        {
            "NoSuchService" => (LaunchdError.NoSuchService, packet.Text("hint")),
            "NoSuchDescriptor" => (LaunchdError.NoSuchDescriptor, packet.Text("hint")),
            "Denied" => (LaunchdError.Denied, packet.Text("rule")),
            "Stale" => (LaunchdError.Stale, packet.Text("name")),
            "NotReady" => (LaunchdError.NotReady, packet.Text("state")),
            "NotPermittedByKernel" => (LaunchdError.NotPermittedByKernel, packet.Text("cause")),
            "LimitReached" => (LaunchdError.LimitReached, packet.Text("limit")),
            "BadRequest" => (LaunchdError.BadRequest, packet.Text("parameter")),
            "ShuttingDown" => (LaunchdError.ShuttingDown, null),
            "org.varlink.service.MethodNotFound" => (LaunchdError.NotImplemented, packet.Text("method")),
            _ => (LaunchdError.Other, null),
        };
        return new LaunchdException(error, Sentence(name, packet.Parameters), detail, (int)(packet.Number("errno") ?? 0));
    }

    /// <summary>The name and all that came with it: <c>NoSuchDescriptor: name htp, hint http</c>.</summary>
    private static string Sentence(string name, JsonElement parameters)
    {
        if (parameters.ValueKind != JsonValueKind.Object)
            return name;
        string rest = string.Join(", ", parameters.EnumerateObject().Select(p => $"{p.Name} {p.Value}"));
        return rest.Length == 0 ? name : $"{name}: {rest}";
    }
}
