using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Launchd.Client.Hosting;

/// <summary>
/// Gives inherited listeners to Kestrel, which owns them from then on. It accepts asynchronously only, so disposing a listener here
/// leaves it alive for every other process that holds it.
/// </summary>
internal static class KestrelListeners
{
    public static void Add(KestrelServerOptions kestrel, LaunchdClient client, LaunchdHostingOptions options)
    {
        // A program that is run by hand, in development, inherits nothing: Kestrel listens where its own configuration says.
        if (client.Inherited.Count == 0 && !client.IsSupervised)
            return;
        if (options.Listeners.Count == 0)
        {
            foreach (NamedDescriptor listener in client.Inherited.Where(IsFree))
                Add(kestrel, listener, configure: null);
            return;
        }
        foreach ((string name, Action<ListenOptions>? configure) in options.Listeners)
        {
            NamedDescriptor[] found = [.. client.Inherited.Where(d => d.Name == name && IsFree(d))];
            if (found.Length == 0)
                throw NotThere(client, name);
            foreach (NamedDescriptor listener in found)
                Add(kestrel, listener, configure);
        }
    }

    private static bool IsFree(NamedDescriptor descriptor) => descriptor is { Kind: DescriptorKind.Listener, IsTaken: false };

    private static void Add(KestrelServerOptions kestrel, NamedDescriptor listener, Action<ListenOptions>? configure) =>
        kestrel.ListenHandle((ulong)listener.Take().ReleaseNumber(), configure ?? (_ => { }));

    private static LaunchdException NotThere(LaunchdClient client, string name)
    {
        string there = string.Join(", ", client.Inherited.Select(d => d.ToString()));
        return new LaunchdException(LaunchdError.NoSuchDescriptor,
            $"no listener '{name}' was inherited; {(there.Length == 0 ? "nothing was" : "there are: " + there)}", name);
    }
}
