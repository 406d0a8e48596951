using Launchd.Control;

namespace Launchd.Tests.Cli;

/// <summary>Replies of a supervisor of a small shop.</summary>
internal static class Samples
{
    public static StatusReply Status => new()
    {
        Supervisor = Supervisor,
        Services =
        [
            new ServiceStatus
            {
                Service = "cache", State = "backing-off", Wanted = true, Generation = 1, Restarts = 3, Sockets = [],
                Instances =
                [
                    new InstanceStatus
                    {
                        Slot = 0, Generation = 1, State = "backing-off", RetryInMs = 2400, Reason = "exited with code 1 after 12 ms",
                    },
                ],
            },
            new ServiceStatus
            {
                Service = "db", State = "ready", Wanted = true, Generation = 1, Restarts = 0, Sockets = ["pg"],
                Instances =
                [
                    new InstanceStatus
                    {
                        Slot = 0, Generation = 1, State = "ready", Pid = 4712, UptimeMs = 192_000,
                        StatusText = "accepting \e[31mconnections", StoredDescriptors = 1,
                    },
                ],
            },
            new ServiceStatus
            {
                Service = "report", State = "stopped", Wanted = false, Generation = 0, Restarts = 0, Sockets = [], Instances = [],
            },
            new ServiceStatus
            {
                Service = "web", State = "starting", Wanted = true, Generation = 3, Restarts = 4, Sockets = ["http", "admin"],
                Instances =
                [
                    new InstanceStatus
                    {
                        Slot = 0, Generation = 2, State = "draining", Pid = 4750, UptimeMs = 7_512_000, StatusText = "finishing 3 requests",
                    },
                    new InstanceStatus { Slot = 0, Generation = 3, State = "ready", Pid = 4800, UptimeMs = 12_000 },
                    new InstanceStatus { Slot = 1, Generation = 3, State = "starting", Pid = 4801, UptimeMs = 300 },
                ],
            },
        ],
        Sockets =
        [
            new SocketStatus
            {
                Socket = "http", Name = "http", Address = "tcp://127.0.0.1:8080", QueueCount = 0, BacklogCount = 4096, Services = ["web"],
            },
            new SocketStatus
            {
                Socket = "pg", Name = "postgres", Address = "unix:/run/pg.sock", QueueCount = 2, BacklogCount = 128, Services = ["db"],
            },
            new SocketStatus { Socket = "log", Name = "log", Address = "udp://127.0.0.1:514", Services = [] },
        ],
    };

    public static StatusReply AllReady =>
        Status with { Services = [.. Status.Services.Where(s => s.State is "ready" or "stopped")], Sockets = [] };

    private static SupervisorStatus Supervisor => new()
    {
        Name = "shop", Version = "0.1.0", Pid = 4711, ConfigPath = "/etc/shop/launchd.toml", RuntimeDirectory = "/run/launchd-cs/shop",
        State = "running", UptimeMs = 93_784_000, Counters = new() { ["notifications"] = 2, ["log-lines"] = 17, ["absences"] = 3 },
    };
}
