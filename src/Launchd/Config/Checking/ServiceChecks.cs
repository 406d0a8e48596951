using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Tables;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>Checks what must agree between the keys of one service and its sockets.</summary>
internal static class ServiceChecks
{
    private const int FirstDescriptor = 3;

    public static void Check(ServiceEntry entry, List<ListenerDefinition> listeners)
    {
        CheckStart(entry, listeners);
        CheckStreams(entry, listeners);
        CheckReady(entry, listeners);
        CheckNotify(entry);
        if (entry.Definition.IsJob)
            CheckJob(entry);
    }

    private static void CheckJob(ServiceEntry entry)
    {
        ServiceDefinition service = entry.Definition;
        if (service.Restart == RestartKind.Always)
        {
            Blame(entry, DiagnosticCode.Contradiction, "restart",
                "'always' would start a job again as soon as it has succeeded (ready = \"exited\")",
                "write restart = \"never\", or \"on-failure\" to try again until it succeeds");
        }
        if (service.Start is StartKind.Demand or StartKind.Connection)
        {
            Blame(entry, DiagnosticCode.Contradiction, "start", "a job (ready = \"exited\") serves no clients",
                "write start = \"boot\" or \"manual\", or another 'ready'");
        }
        if (service.Update == UpdateKind.Overlap)
        {
            Blame(entry, DiagnosticCode.Contradiction, "update", "a job (ready = \"exited\") does not run beside its successor",
                "leave it out, or write \"replace\"");
        }
        string? unused = service.Health is not null ? "health" : service.Watchdog is not null ? "watchdog" : null;
        if (unused is not null)
        {
            Blame(entry, DiagnosticCode.NoEffect, unused, "has no effect on a job (ready = \"exited\"), which is never ready while it runs",
                "leave it out; 'ready_timeout' limits how long it may run");
        }
    }

    private static void CheckStart(ServiceEntry entry, List<ListenerDefinition> listeners)
    {
        ServiceDefinition service = entry.Definition;
        TableReader startTable = entry.TableWith("start");
        if (service.Start is StartKind.Demand or StartKind.Connection && listeners.Count == 0)
        {
            // A value of the defaults is reported for each service that it does not suit.
            string message = "is started by traffic, but has no socket";
            if (entry.Table.Has("start"))
                entry.Table.Error(DiagnosticCode.NeedsSocket, "start", message, "add sockets = [\"NAME\"]");
            else
                entry.Table.ErrorHere(DiagnosticCode.NeedsSocket, message, $"{startTable.PathTo("start")} says so");
        }
        if (service.Start == StartKind.Connection)
        {
            foreach (ListenerDefinition listener in listeners)
            {
                if (listener.Addresses.FirstOrDefault(a => !a.IsConnectionOriented) is not { } address)
                    continue;
                Blame(
                    entry, DiagnosticCode.NeedsConnections, "start",
                    $"'connection' needs sockets that accept connections, which '{address}' of '{listener.Key}' does not",
                    "write start = \"demand\", or take the socket out");
            }
            if (service.InstanceCount > 1 && entry.Table.Has("instances"))
            {
                entry.Table.Error(
                    DiagnosticCode.NoEffect, "instances", "has no effect with start = \"connection\"", "set max_connections of the socket");
            }
        }
        if (service.IdleTimeout is not null && service.Start != StartKind.Demand && entry.Table.Has("idle_timeout"))
            entry.Table.Error(DiagnosticCode.NoEffect, "idle_timeout", "has no effect without start = \"demand\"");
    }

    private static void CheckStreams(ServiceEntry entry, List<ListenerDefinition> listeners)
    {
        ServiceDefinition service = entry.Definition;
        bool isConnection = service.Start == StartKind.Connection;
        bool isInputSocket = service.Input is InputSource.Socket;
        if (isInputSocket && !isConnection && listeners.Sum(l => l.Addresses.Length) != 1)
        {
            Blame(entry, DiagnosticCode.NeedsSocket, "input",
                "'socket' needs exactly one socket with one address, or start = \"connection\"");
        }
        if (!isConnection && !isInputSocket)
        {
            CheckOutput(entry, "output", service.Output);
            CheckOutput(entry, "error", service.Error);
        }
        bool isLogged = service.Output is OutputTarget.Log || service.Error is OutputTarget.Log;
        if (!isLogged && service.Ready is Readiness.Output)
        {
            Blame(entry, DiagnosticCode.NeedsLog, "ready", "lines are read only from an output or error that is 'log'",
                "write output = \"log\"");
        }
        if (!isLogged && entry.Table.Has("log"))
        {
            entry.Table.Error(DiagnosticCode.NeedsLog, "log", "only an output or error that is 'log' is written there",
                "write output = \"log\", or leave 'log' out");
        }
    }

    private static void CheckOutput(ServiceEntry entry, string key, OutputTarget target)
    {
        if (target is OutputTarget.Socket && entry.Has(key))
            Blame(entry, DiagnosticCode.NeedsSocket, key, "'socket' needs input = \"socket\" or start = \"connection\"");
    }

    private static void CheckReady(ServiceEntry entry, List<ListenerDefinition> listeners)
    {
        ServiceDefinition service = entry.Definition;
        if (service.Ready is not Readiness.Descriptor ready)
            return;
        // Stored descriptors follow the configured ones, so their numbers are taken as well. A socket that is
        // standard input has no number of its own.
        int sockets = service.Input is InputSource.Socket ? 0 : listeners.Sum(l => l.Addresses.Length);
        int passed = sockets + service.Files.Length + service.FdStoreCount;
        int first = FirstDescriptor + passed;
        if (ready.Number < first)
        {
            Blame(
                entry, DiagnosticCode.DescriptorTaken, "ready", $"descriptor {ready.Number} is one of those that the service is passed",
                $"use {first} or more");
        }
    }

    private static void CheckNotify(ServiceEntry entry)
    {
        ServiceDefinition service = entry.Definition;
        if (service.NotifyAccess != NotifyAccess.None)
            return;
        // A watchdog and a store bring ready = "notify" along, which then stands nowhere in the file.
        string? needs = service.Watchdog is not null ? "watchdog"
            : service.FdStoreCount > 0 ? "fd_store" : service.Ready is Readiness.Notify ? "ready" : null;
        if (needs is not null)
        {
            Blame(entry, DiagnosticCode.Contradiction, "notify_access", $"'none' leaves no way to send what '{needs}' waits for",
                "write \"main\" or \"all\", or leave it out");
        }
    }

    private static void Blame(ServiceEntry entry, DiagnosticCode code, string key, string message, string? hint = null) =>
        entry.Table.Context.Diagnostics.Error(code, entry.TableWith(key).SpanOf(key), $"{entry.Table.PathTo(key)}: {message}", hint);
}
