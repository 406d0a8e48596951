using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>Reads <c>share</c> and <c>request</c>.</summary>
internal static class SharingReader
{
    public static ImmutableArray<ShareRule> Share(TableReader table, ImmutableArray<ShareRule> fallback)
    {
        if (table.Table("share", "write { name = [\"service\"] }") is not { } below)
            return fallback;
        ImmutableArray<ShareRule>.Builder rules = ImmutableArray.CreateBuilder<ShareRule>();
        foreach (TomlEntry entry in below.Entries)
        {
            ImmutableArray<string> services = below.Strings(entry.Key, []);
            if (entry.Key.Length == 0)
                below.Error(DiagnosticCode.EmptyValue, entry.Key, "the name must not be empty");
            rules.Add(new ShareRule(entry.Key, services));
        }
        return rules.DrainToImmutable();
    }

    public static ImmutableArray<RequestRule> Request(TableReader table, ImmutableArray<RequestRule> fallback)
    {
        if (!table.Has("request"))
            return fallback;
        ImmutableArray<RequestRule>.Builder rules = ImmutableArray.CreateBuilder<RequestRule>();
        foreach (TomlValue item in table.Elements("request"))
        {
            if (table.NonEmpty("request", item) is not { } text)
                continue;
            int slash = text.IndexOf('/');
            if (slash <= 0 || slash == text.Length - 1)
                table.Error(DiagnosticCode.BadForm, "request", item, $"'{text}' is no request", "write \"SERVICE/NAME\"");
            else
                rules.Add(new RequestRule(text[..slash], text[(slash + 1)..]));
        }
        return rules.DrainToImmutable();
    }
}
