using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>
/// Warns of configurations with which a known program is known not to work. Never an error: another version of it, or a program
/// of the same name, may.
/// </summary>
internal static class ProgramChecks
{
    /// <summary>Looks whether a rule holds for a service.</summary>
    /// <param name="entry">The service.</param>
    /// <param name="listeners">All that it is given.</param>
    public static void Check(ServiceEntry entry, List<ListenerDefinition> listeners)
    {
        ServiceDefinition service = entry.Definition;
        // The rules are about a listener from descriptor 3 on: not about an accepted connection, nor a socket that is standard input.
        bool isGivenListeners = listeners.Count > 0 && service.Start != StartKind.Connection && service.Input is not InputSource.Socket;
        if (!isGivenListeners || service.Command.IsEmpty)
            return;
        ProgramUse use = ProgramUse.Of(service);
        foreach (ProgramRule rule in ProgramRules.For(use.Program))
        {
            if (rule.Use(use) && listeners.Find(listener => rule.Socket(listener)) is { } listener)
                Warn(entry, rule, listener.Key);
        }
    }

    private static void Warn(ServiceEntry entry, ProgramRule rule, string socket)
    {
        TableReader table = entry.TableWith(rule.Key);
        SourceSpan span = rule.Key == ProgramRule.OfSockets
            ? CrossChecks.ElementOf(table, rule.Key, text => text == socket)?.Span ?? table.SpanOf(rule.Key)
            : table.SpanOf(rule.Key);
        string cause = rule.Cause.Replace(ProgramRule.SocketName, socket, StringComparison.Ordinal);
        string remedy = rule.Remedy.Replace(ProgramRule.SocketName, socket, StringComparison.Ordinal);
        entry.Table.Context.Diagnostics.Warning(
            DiagnosticCode.KnownNotToWork, span, $"{entry.Table.PathTo(rule.Key)}: {cause} (seen with {rule.Program} {rule.Version})",
            $"{remedy}; see docs/programs.md");
    }
}
