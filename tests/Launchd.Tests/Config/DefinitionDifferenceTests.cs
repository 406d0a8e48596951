using System.Collections.Immutable;
using Launchd.Config.Comparing;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Tables;
using Launchd.Config.Values;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Config;

/// <summary>What differs between two configurations, and what is said about it.</summary>
public sealed class DefinitionDifferenceTests
{
    private const string Base = """
        [sockets.http]
        listen = "tcp://127.0.0.1:1"
        [sockets.two]
        listen = "unix:/run/two"
        [files.f]
        path = "/etc/f"
        [files.g]
        directory = "/srv"
        [services.other]
        command = ["other"]
        [services.web]
        command = ["web"]
        sockets = ["http"]
        files = ["f"]

        """;

    /// <summary>
    /// For each key of a service a line that makes it another than in <see cref="Base"/>. A new key has to be given one here.
    /// </summary>
    public static TheoryData<string, string> ServiceKeys => new()
    {
        { "command", "command = [\"web\", \"-v\"]" },
        { "sockets", "sockets = [\"http\", \"two\"]" },
        { "files", "files = [\"f\", \"g\"]" },
        { "description", "description = \"d\"" },
        { "start", "start = \"manual\"" },
        { "instances", "instances = 2" },
        { "requires", "requires = [\"other\"]" },
        { "wants", "wants = [\"other\"]" },
        { "after", "after = [\"other\"]" },
        { "before", "before = [\"other\"]" },
        { "environment", "environment = { A = \"1\" }" },
        { "environment_files", "environment_files = [\"/etc/e\"]" },
        { "pass_environment", "pass_environment = [\"SHELL\"]" },
        { "working_directory", "working_directory = \"/srv\"" },
        { "umask", "umask = \"0077\"" },
        { "user", "user = \"nobody\"" },
        { "group", "group = \"nogroup\"" },
        { "supplementary_groups", "supplementary_groups = [\"audio\"]" },
        { "limits", "limits = { nofile = 64 }" },
        { "nice", "nice = 3" },
        { "oom_score_adjust", "oom_score_adjust = 3" },
        { "capabilities", "capabilities = []" },
        { "ambient_capabilities", "ambient_capabilities = [\"kill\"]" },
        { "no_new_privileges", "no_new_privileges = true" },
        { "parent_death_signal", "parent_death_signal = \"TERM\"" },
        { "cgroup", "cgroup = { pids_max = 3 }" },
        { "ignore_sigpipe", "ignore_sigpipe = false" },
        { "terminal", "terminal = true" },
        { "input", "input = \"file:/etc/i\"" },
        { "output", "output = \"null\"" },
        { "error", "error = \"null\"" },
        { "ready", "ready = { tcp = \"127.0.0.1:1\" }" },
        { "ready_timeout", "ready_timeout = \"1m\"" },
        { "health", "health = { tcp = \"127.0.0.1:1\" }" },
        { "watchdog", "watchdog = \"3s\"" },
        { "restart", "restart = \"never\"" },
        { "backoff", "backoff = { factor = 3 }" },
        { "start_limit", "start_limit = { burst = 3 }" },
        { "success_exit", "success_exit = [0, 3]" },
        { "stop_signal", "stop_signal = \"INT\"" },
        { "stop_timeout", "stop_timeout = \"3s\"" },
        { "stop_command", "stop_command = [\"true\"]" },
        { "kill", "kill = \"group\"" },
        { "reload", "reload = { signal = \"HUP\" }" },
        { "idle_timeout", "idle_timeout = \"3s\"\nstart = \"demand\"" },
        { "update", "update = \"replace\"" },
        { "rollout", "rollout = { prove = \"1s\" }" },
        { "fd_store", "fd_store = 3" },
        { "fd_store_keep", "fd_store_keep = \"always\"" },
        { "share", "share = { ring = [\"other\"] }" },
        { "request", "request = [\"other/ring\"]" },
        { "notify_access", "notify_access = \"all\"" },
        { "listen_environment", "listen_environment = false" },
        { "log", "log = { path = \"/var/log/web\" }" },
    };

    /// <summary>The same for sockets, on one of TCP or one with a path.</summary>
    public static TheoryData<string, string> SocketKeys => new()
    {
        { "listen", "listen = \"tcp://127.0.0.1:7\"" }, { "name", "name = \"n\"" },
        { "backlog", "backlog = 7" }, { "mode", "mode = \"0600\"" },
        { "user", "user = \"nobody\"" }, { "group", "group = \"nogroup\"" }, { "directory_mode", "directory_mode = \"0700\"" },
        { "symlinks", "symlinks = [\"/run/other\"]" }, { "remove_on_stop", "remove_on_stop = false" },
        { "keep_options", "keep_options = true" }, { "pin_path", "pin_path = true" }, { "shards", "shards = 2" },
        { "ipv6_only", "ipv6_only = true" }, { "free_bind", "free_bind = true" }, { "transparent", "transparent = true" },
        { "bind_to_device", "bind_to_device = \"lo\"" }, { "mark", "mark = 1" }, { "priority", "priority = 1" }, { "tos", "tos = 16" },
        { "ttl", "ttl = 9" }, { "congestion", "congestion = \"reno\"" }, { "no_delay", "no_delay = true" },
        { "keep_alive", "keep_alive = { idle = \"9s\" }" }, { "defer_accept", "defer_accept = \"1s\"" }, { "fast_open", "fast_open = 9" },
        { "receive_buffer", "receive_buffer = \"64KiB\"" }, { "send_buffer", "send_buffer = \"64KiB\"" },
        { "pass_credentials", "pass_credentials = true" }, { "pass_pidfd", "pass_pidfd = true" }, { "pass_rights", "pass_rights = false" },
        { "non_blocking", "non_blocking = true" }, { "trigger_limit", "trigger_limit = { burst = 9, interval = \"1s\" }" },
        { "max_connections", "max_connections = 9" }, { "max_connections_per_source", "max_connections_per_source = 9" },
    };

    [Fact]
    public void AnInputThatNeverEnds_AndLocalhost_AreReadAndShown()
    {
        ServiceDefinition service = Reading.Service(
            "input = \"open\"\nready = { tcp = \"localhost:80\" }\nhealth = { http = \"http://localhost/\" }");
        Assert.IsType<InputSource.Open>(service.Input);
        Assert.True(((ProbeTarget.Tcp)((Readiness.Probed)service.Ready).Target).IsLocalhost);
        Assert.True(((ProbeTarget.Http)service.Health!.Target).IsLocalhost);
        ServiceDefinition exact = Reading.Service("ready = { tcp = \"127.0.0.1:80\" }");
        Assert.False(((ProbeTarget.Tcp)((Readiness.Probed)exact.Ready).Target).IsLocalhost);
    }

    [Fact]
    public void EveryKeyHasItsLineHere()
    {
        Assert.Equal(KnownKeys.Service.Order(), ServiceKeys.Select(k => (string)((object[])k)[0]).Order());
        Assert.Equal(KnownKeys.Socket.Order(), SocketKeys.Select(k => (string)((object[])k)[0]).Order());
    }

    [Theory]
    [MemberData(nameof(ServiceKeys))]
    public void AKeyOfAServiceIsFound(string key, string line)
    {
        string name = line[..line.IndexOf(' ', StringComparison.Ordinal)];
        string text = string.Join(
            '\n', Base.Split('\n').Where(l => !l.StartsWith("command = [\"web", StringComparison.Ordinal) || name != "command")
            .Where(l => !l.StartsWith("sockets = ", StringComparison.Ordinal) || name != "sockets")
            .Where(l => !l.StartsWith("files = ", StringComparison.Ordinal) || name != "files")) + line;
        ConfigResult next = Reading.Read(text, 0, ("SHELL", "/bin/sh"));
        if (next.Diagnostics.Any(d => d.Code == DiagnosticCode.NotBuilt))
            return;
        Assert.True(next.Definition is not null, next.Print());

        SupervisorDefinition old = Reading.Define(Base, 0, ("SHELL", "/bin/sh"));
        DefinitionChange change = Assert.Single(
            DefinitionDifference.Between(old, next.Definition!).Changes, c => c.Path == "services.web");

        Assert.Contains(change.Keys,
            k => k.Key == key || k.Key.StartsWith(key.Replace("pass_", "", StringComparison.Ordinal) + ".", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(SocketKeys))]
    public void AKeyOfASocketIsFound(string key, string line)
    {
        bool isOfUnix = key is "mode" or "user" or "group" or "directory_mode" or "symlinks" or "pass_credentials" or "pass_pidfd"
            or "pass_rights" or "remove_on_stop" or "pin_path";
        string socket = isOfUnix ? "listen = \"unix:/run/two\"\n" : "listen = \"tcp://[::1]:1\"\n";
        ListenerDefinition old = Listener(socket), next = Listener((key == "listen" ? "" : socket) + line);

        DefinitionChange change = Assert.Single(Difference(old, next).Changes, c => c.Table == "sockets");

        Assert.Contains(change.Keys, k => k.Key == key);
    }

    [Fact]
    public void TheSameTwiceDiffersInNothing()
    {
        DefinitionDifference difference = DefinitionDifference.Between(Reading.Define(Base), Reading.Define(Base));

        Assert.True(difference.IsEmpty);
        Assert.Equal(6, difference.UnchangedCount);
    }

    /// <summary>Of ten thousand services nearly all are the same: a reload has no time to write out the texts of all their keys.</summary>
    [Fact]
    public void WhatIsTheSameIsSeenWithoutItsTexts()
    {
        SupervisorDefinition old = Reading.Define(Base), next = Reading.Define(Base);

        Assert.All(old.Services.Zip(next.Services), pair => Assert.True(SameDefinition.Is(pair.First, pair.Second), pair.First.Name.Text));
        Assert.All(old.Listeners.Zip(next.Listeners), pair => Assert.True(SameDefinition.Is(pair.First, pair.Second), pair.First.Key));
    }

    [Fact]
    public void OfManySocketsEachIsFoundThatAnotherNameTakesOver()
    {
        string Sockets(string name) =>
            string.Concat(Enumerable.Range(0, 300).Select(i => $"[sockets.{name}{i}]\nlisten = \"unix:/run/{i}\"\n"));
        SupervisorDefinition old = Reading.Define(Sockets("a")), next = Reading.Define(Sockets("b"));

        DefinitionDifference difference = DefinitionDifference.Between(old, next);

        Assert.Equal(300, difference.Changes.Count(c => c.Effect == ChangeEffect.TakesOver));
        Assert.Equal("a7", Find(difference, "sockets", "b7")!.Source);
    }

    [Theory]
    [InlineData("description = \"d\"", nameof(ChangeEffect.InPlace))]
    [InlineData("stop_timeout = \"1s\"\nrestart = \"never\"", nameof(ChangeEffect.InPlace))]
    [InlineData("instances = 3", nameof(ChangeEffect.Scales))]
    [InlineData("instances = 3\nnice = 3", nameof(ChangeEffect.NewGeneration))]
    [InlineData("environment = { A = \"1\" }", nameof(ChangeEffect.NewGeneration))]
    public void WhatARunningProgramDoesNotSeeLeavesItRunning(string line, string effect) =>
        Assert.Equal(effect, Change(Base + line, "services.web").Effect.ToString());

    [Fact]
    public void TheFileOfALogIsShownAsItIsSpelled_ForTheServiceThatHasIt()
    {
        const string log = "log = { path = \"/log/${service}.${slot}.$$\", group = \"adm\", mode = \"0660\" }\n";
        KeyChange change = Assert.Single(Change(Base + log, "services.web").Keys);

        Assert.Equal("/log/web.${slot}.$$, max_size 10MiB, keep 5, timestamps true, group adm, mode 0660, max_line 256KiB", change.To);
    }

    [Fact]
    public void ServicesComeAndGo()
    {
        DefinitionDifference difference = DefinitionDifference.Between(
            Reading.Define("[services.a]\ncommand = [\"a\"]\n[services.b]\ncommand = [\"b\"]"),
            Reading.Define(
                "[services.b]\ncommand = [\"b\"]\n[services.c]\ncommand = [\"c\"]\n[services.d]\ncommand = [\"d\"]\nstart = \"manual\""));

        Assert.Equal(
            ["services.c Added Starts", "services.d Added StaysStopped", "services.a Removed Stops"],
            difference.Changes.Select(c => $"{c.Path} {c.Kind} {c.Effect}"));
        Assert.Equal(1, difference.UnchangedCount);
    }

    [Theory]
    [InlineData("tcp://127.0.0.1:1", "backlog = 7", nameof(ChangeEffect.InPlace), false)]
    [InlineData("tcp://127.0.0.1:1", "no_delay = true", nameof(ChangeEffect.InPlace), false)]
    [InlineData("tcp://127.0.0.1:1", "name = \"www\"", nameof(ChangeEffect.InPlace), true)]
    [InlineData("tcp://127.0.0.1:1", "non_blocking = true", nameof(ChangeEffect.OpensAnew), true)]
    [InlineData("tcp://127.0.0.1:2", "", nameof(ChangeEffect.OpensAnew), true)]
    public void AServiceIsStartedAnewWhereItIsGivenAnotherSocket(string listen, string line, string effect, bool isConcerned)
    {
        SupervisorDefinition old = Reading.Define(Base);
        SupervisorDefinition next =
            Reading.Define(Base.Replace("listen = \"tcp://127.0.0.1:1\"", $"listen = \"{listen}\"\n{line}", StringComparison.Ordinal));

        DefinitionDifference difference = DefinitionDifference.Between(old, next);

        Assert.Equal(effect, Find(difference, "sockets", "http")!.Effect.ToString());
        Assert.Equal(isConcerned, Find(difference, "services", "web") is not null);
        ServiceDefinition adopted = difference.Adopt(old, next).Definition.Services.Single(s => s.Name.Text == "web");
        Assert.Equal(!isConcerned, ReferenceEquals(adopted, old.Services.Single(s => s.Name.Text == "web")));
    }

    [Fact]
    public void AnAddressUnderAnotherNameIsTheSameSocket()
    {
        string renamed = Base.Replace("sockets.http]", "sockets.www]", StringComparison.Ordinal)
            .Replace("[\"http\"]", "[\"www\"]", StringComparison.Ordinal);

        DefinitionChange change = Change(renamed, "sockets.www");

        Assert.Equal((ChangeEffect.TakesOver, "http"), (change.Effect, change.Source));
    }

    [Fact]
    public void TwoNamesThatSwapTheirAddressesTakeOverFromEachOther()
    {
        string swapped = Base.Replace("tcp://127.0.0.1:1", "?", StringComparison.Ordinal)
            .Replace("unix:/run/two", "tcp://127.0.0.1:1", StringComparison.Ordinal)
            .Replace("?", "unix:/run/two", StringComparison.Ordinal);

        Assert.Equal(("two", "http"), (Change(swapped, "sockets.http").Source, Change(swapped, "sockets.two").Source));
        Assert.Equal(ChangeEffect.NewGeneration, Change(swapped, "services.web").Effect);
    }

    [Fact]
    public void WhereTheSupervisorBeginsToAcceptTheSocketIsAnother()
    {
        string connection = Base.Replace("sockets = [\"http\"]", "sockets = [\"http\"]\nstart = \"connection\"", StringComparison.Ordinal);

        Assert.Equal(ChangeEffect.OpensAnew, Change(connection, "sockets.http").Effect);
    }

    [Fact]
    public void ValuesOfVariablesAreNotTold()
    {
        SupervisorDefinition old = Reading.Define(Base + "environment = { TOKEN = \"secret-one\", GONE = \"secret-two\" }");
        SupervisorDefinition next = Reading.Define(Base + "environment = { TOKEN = \"secret-three\", NEW = \"secret-four\" }");

        ImmutableArray<KeyChange> keys = Find(DefinitionDifference.Between(old, next), "services", "web")!.Keys;

        Assert.Equal(
            ["environment.GONE …-", "environment.NEW -…", "environment.TOKEN ……"],
            keys.Select(k => $"{k.Key} {k.From ?? "-"}{k.To ?? "-"}").Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("name = \"b\"", "name")]
    [InlineData("supervisor.runtime_directory = \"/run/x\"", "runtime_directory")]
    [InlineData("supervisor.log_level = \"debug\"", null)]
    public void WhatIsDecidedOnceIsRefused(string line, string? key) =>
        Assert.Equal(key, DefinitionDifference.Between(Reading.Define(Base), Reading.Define(line + "\n" + Base)).Refused?.Key);

    [Fact]
    public void TextsAreSpelledAsInTheFile()
    {
        string changed = Base.Replace(
            "command = [\"web\"]", "command = [\"web\", \"--at\", \"${slot}\", \"a b\", \"$${slot}\"]", StringComparison.Ordinal);
        KeyChange command = Assert.Single(Change(changed, "services.web").Keys);

        Assert.Equal(("web", "web --at ${slot} \"a b\" $${slot}"), (command.From, command.To));
    }

    [Theory]
    [InlineData("250ms")]
    [InlineData("1m30s")]
    [InlineData("2h")]
    [InlineData("1d2h3m4s5ms6us")]
    [InlineData("0s")]
    public void DurationsAreShownAsTheyAreRead(string text) => Assert.Equal(text, Quantities.Show(Quantities.ParseDuration(text)!.Value));

    [Theory]
    [InlineData(1536, "1536")]
    [InlineData(65536, "64KiB")]
    [InlineData(10 << 20, "10MiB")]
    public void SizesAreShownInWholeUnits(long bytes, string text) => Assert.Equal(text, Quantities.ShowSize(bytes));

    private static DefinitionChange? Find(DefinitionDifference difference, string table, string name) =>
        difference.Changes.FirstOrDefault(c => c.Table == table && c.Name == name);

    private static DefinitionChange Change(string next, string path) =>
        Assert.Single(DefinitionDifference.Between(Reading.Define(Base), Reading.Define(next)).Changes, c => c.Path == path);

    private static ListenerDefinition Listener(string lines) => Assert.Single(Reading.Define(
        "[services.web]\ncommand = [\"web\"]\nsockets = [\"http\"]\nstart = \"connection\"\n[sockets.http]\n" + lines).Listeners);

    private static DefinitionDifference Difference(ListenerDefinition old, ListenerDefinition next)
    {
        SupervisorDefinition definition = Reading.Define(Base);
        return DefinitionDifference.Between(definition with { Listeners = [old] }, definition with { Listeners = [next] });
    }
}
