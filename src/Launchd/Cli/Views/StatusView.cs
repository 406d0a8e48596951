using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Views;

/// <summary>Draws a status as people read it: who supervises, the services with their instances, the sockets with their queues.</summary>
internal static class StatusView
{
    public static void Write(Terminal terminal, StatusReply status)
    {
        WriteHead(terminal, status.Supervisor);
        if (status.Services.Length > 0)
        {
            terminal.WriteLine();
            ServiceTable(status.Services).Write(terminal);
        }
        if (status.Sockets.Length > 0)
        {
            terminal.WriteLine();
            SocketTable(status.Sockets).Write(terminal);
        }
    }

    public static Style StyleOf(string state) => state switch
    {
        "ready" or "completed" => Style.Good,
        "starting" or "draining" or "backing-off" => Style.Warning,
        "failed" or "faulted" => Style.Bad,
        _ => Style.Faint,
    };

    private static void WriteHead(Terminal terminal, SupervisorStatus supervisor)
    {
        string name = TerminalText.Escape(supervisor.Name);
        string verb = supervisor.State == "running" ? "running" : TerminalText.Escape(supervisor.State);
        string age = DurationText.Age(supervisor.UptimeMs);
        string rest = $": {verb} for {age}, pid {supervisor.Pid}, version {supervisor.Version}, {supervisor.ConfigPath}";
        terminal.WriteLine(terminal.Paint(name, Style.Strong) + terminal.Fit(rest, TerminalText.Columns(name)));
        if (supervisor.After is { } after)
        {
            string told = $"started anew after {TerminalText.Escape(after)}";
            terminal.WriteLine(terminal.Paint(terminal.Fit(told), Style.Warning));
        }
        if (supervisor.KeeperEnded == true)
        {
            string told = $"its keeper (pid {supervisor.Keeper}) has died: nobody starts this supervisor anew, but the next 'run'";
            terminal.WriteLine(terminal.Paint(terminal.Fit(told), Style.Warning));
        }
        // That the machine was busy or suspended has cost nothing, and is in the log.
        string[] counters = [.. supervisor.Counters.Where(c => c.Key != "absences")
            .OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key} {c.Value}")];
        if (counters.Length > 0)
        {
            terminal.WriteLine(terminal.Paint(terminal.Fit("dropped since the start: " + string.Join(", ", counters)), Style.Warning));
        }
    }

    private static Table ServiceTable(ServiceStatus[] services)
    {
        Table table = new(
            new Column("SERVICE", MostColumns: 32), new Column("STATE"), new Column("SLOT", IsRight: true),
            new Column("GEN", IsRight: true), new Column("PID", IsRight: true), new Column("UPTIME", IsRight: true),
            new Column("RESTARTS", IsRight: true),
            new Column("SOCKETS", MostColumns: 24), new Column("STATUS"));
        foreach (ServiceStatus service in services)
        {
            if (service.Instances.Length <= 1)
                AddSingle(table, service, service.Instances.FirstOrDefault());
            else
                AddPool(table, service);
        }
        return table;
    }

    private static void AddSingle(Table table, ServiceStatus service, InstanceStatus? instance) => table.Add(
        service.Service, State(service), $"{instance?.Slot}",
        Generation(instance?.Generation ?? service.Generation), $"{instance?.Pid}", Uptime(instance), $"{service.Restarts}",
        string.Join(",", service.Sockets), Text(service, instance));

    private static void AddPool(Table table, ServiceStatus service)
    {
        int slots = service.Instances.Select(i => i.Slot).Distinct().Count();
        int ready = service.Instances.Where(i => i.State is "ready" or "completed").Select(i => i.Slot).Distinct().Count();
        table.Add(
            service.Service, State(service), $"{ready}/{slots}", Generation(service.Generation),
            Table.Blank, Table.Blank, $"{service.Restarts}", string.Join(",", service.Sockets), Text(service, null));
        foreach (InstanceStatus instance in service.Instances.OrderBy(i => i.Slot).ThenByDescending(i => i.Generation))
        {
            table.Add(
                $"  {service.Service}.{instance.Slot}", new Cell(instance.State, StyleOf(instance.State)), $"{instance.Slot}",
                Generation(instance.Generation), $"{instance.Pid}", Uptime(instance), Table.Blank, Table.Blank, Text(null, instance));
        }
    }

    // "waiting" alone would say that something is missing; this service only waits for a client.
    private static Cell State(ServiceStatus service) => service is { State: "waiting", Listening: true }
        ? new Cell("listening", Style.Good)
        : new Cell(service.State, StyleOf(service.State));

    private static string Generation(int generation) => generation > 0 ? $"{generation}" : "";

    private static string Uptime(InstanceStatus? instance) => instance?.UptimeMs is { } uptime ? DurationText.Age(uptime) : "";

    private static Cell Text(ServiceStatus? service, InstanceStatus? instance)
    {
        // The soonest and newest comes first, because a narrow screen cuts off the end.
        string? retry = instance?.RetryInMs is { } time ? $"retry in {DurationText.Countdown(time)}" : null;
        string? lost = service?.LostLines > 0 ? $"{service.LostLines} {(service.LostLines == 1 ? "line" : "lines")} lost" : null;
        List<string?> parts = [retry, Handover(instance), lost, instance?.StatusText, service?.Reason, instance?.Reason];
        if (instance?.StoredDescriptors is > 0 and var stored)
            parts.Add(stored == 1 ? "1 descriptor stored" : $"{stored} descriptors stored");
        string state = instance?.State ?? service?.State ?? "";
        Style style = state is "failed" or "faulted" ? Style.Bad : Style.Plain;
        string text = string.Join("; ", parts.Where(p => !string.IsNullOrEmpty(p)).Distinct());
        // Where there is nothing to report, there is room to say what the service is.
        return text.Length > 0 ? new Cell(text, style) : new Cell(service?.Description ?? "", Style.Faint);
    }

    /// <summary>What an instance has to do with another that takes, or has taken, its place.</summary>
    private static string? Handover(InstanceStatus? instance) => instance switch
    {
        { ProvenInMs: { } proven } => $"proves itself for {DurationText.Countdown(proven)}",
        { RemainingCount: { } remaining, DrainingMs: { } since } => $"drains for {DurationText.Age(since)}, {remaining} left",
        { DrainingMs: { } since } => $"drains for {DurationText.Age(since)}",
        { Role: "successor" } => "is to take over",
        _ => null,
    };

    private static Table SocketTable(SocketStatus[] sockets)
    {
        // A column more only where there is something to say in it.
        bool isTroubled = sockets.Any(s => s.Trouble is not null);
        Column[] columns = [new("SOCKET", MostColumns: 32), new("ADDRESS"), new("QUEUE", IsRight: true), new("SERVICES")];
        Table table = new(isTroubled ? [.. columns, new Column("TROUBLE")] : columns);
        foreach (SocketStatus socket in sockets)
        {
            string name = socket.Name == socket.Socket ? socket.Socket : $"{socket.Socket} ({socket.Name})";
            string queue = (socket.QueueCount, socket.BacklogCount) switch
            {
                ({ } waiting, { } backlog) => $"{waiting}/{backlog}",
                ({ } waiting, null) => $"{waiting}",
                _ => "",
            };
            bool isFilling = socket.QueueCount > socket.BacklogCount / 2;
            Cell[] row = [name, socket.Address, new(queue, isFilling ? Style.Warning : Style.Plain), string.Join(",", socket.Services)];
            table.Add(isTroubled ? [.. row, new Cell(socket.Trouble ?? "", Style.Bad)] : row);
        }
        return table;
    }
}
