using Launchd.Config.Checking;
using Launchd.Config.Loading;
using Launchd.Tests.House;
using Xunit;

namespace Launchd.Tests.Config;

/// <summary>What <c>check</c> says of programs that it knows, and that <c>docs/programs.md</c> says the same.</summary>
public sealed class ProgramTests
{
    private const string Tcp = "listen = \"tcp://127.0.0.1:80\"";
    private const string Unix = "listen = \"unix:/s\"";
    private const string Udp = "listen = \"udp://127.0.0.1:80\"";
    private const string Hup = "reload = { signal = \"HUP\" }";

    private static readonly string[] Document = File.ReadAllLines(Path.Combine(SourceTree.Root, "docs", "programs.md"));

    /// <summary>Program and key of a rule, a configuration that it is about, and one that is right.</summary>
    private static readonly (string Program, string Key, string Wrong, string Right)[] All =
    [
        ("nginx", "sockets", With("nginx", Tcp, Variable("NGINX")), With("nginx", Tcp + "\nnon_blocking = true", Variable("NGINX"))),
        ("nginx", "sockets", With("nginx", Tcp), With("nginx", Tcp, "environment_files = [\"-/e\"]")),
        ("h2o", "sockets", With("h2o", Unix), With("h2o", Unix, Variable("SERVER_STARTER_PORT"))),
        ("h2o", "reload", With("h2o", Tcp, Variable("SERVER_STARTER_PORT"), Hup), With("h2o", Tcp, Variable("SERVER_STARTER_PORT"))),
        ("squid", "sockets", With("squid", Tcp), Without("squid")),
        (
            "php-fpm", "sockets", With("/usr/sbin/php-fpm8.2", Unix + "\nnon_blocking = true", Variable("FPM_SOCKETS")),
            With("/usr/sbin/php-fpm8.2", Unix, Variable("FPM_SOCKETS"), "reload = { signal = \"USR2\" }")),
        ("php-fpm", "sockets", With("php-fpm", Tcp), With("php-fpm", Tcp, Variable("FPM_SOCKETS"))),
        ("fcgiwrap", "sockets", With("fcgiwrap -c 2", Unix + "\nnon_blocking = true"), With("fcgiwrap -c 2", Unix)),
        ("fcgiwrap", "reload", With("fcgiwrap", Unix, Hup), With("fcgiwrap", Unix)),
        (
            "starlet", "sockets", With("perl -I lib /usr/bin/plackup -s Starlet", Tcp + "\nnon_blocking = true"),
            With("plackup --server=Starlet", Tcp, Hup)),
        ("starman", "sockets", With("starman --workers 2", Tcp + "\nnon_blocking = true"), With("starman --workers 2", Tcp, Hup)),
        ("starman", "sockets", With("plackup -s Starman", Unix), With("plackup -s Starman", Tcp)),
        ("uwsgi", "reload", With("uwsgi-core --http-socket :80", Tcp, Hup), With("uwsgi --http-socket fd://${fd:s}", Tcp, Hup)),
        ("uwsgi", "reload", With("uwsgi_python3 -M --die-on-term", Tcp, Hup), With("uwsgi app.ini", Tcp, Hup)),
        ("uwsgi", "command", With("uwsgi --master", Tcp), With("uwsgi --master --die-on-term", Tcp)),
        ("uwsgi", "command", With("uwsgi -M", Tcp), With("uwsgi -M", Tcp, "stop_signal = \"SIGINT\"")),
        ("uvicorn", "reload", With("uvicorn --fd 3 --workers 2 a:b", Tcp, Hup), With("uvicorn --fd 3 --workers 1 a:b", Tcp, Hup)),
        ("uvicorn", "reload", With("python3.11 -I -m uvicorn --workers=2 a:b", Tcp, Hup), With("uvicorn --fd 3 --workers 2 a:b", Tcp)),
        ("gunicorn", "sockets", With("gunicorn a:b", Udp), With("gunicorn a:b", Udp, "listen_environment = false")),
        ("gunicorn", "sockets", With("gunicorn a:b", "listen = [\"tcp://*:1\", \"unix-dgram:/d\"]"), With("gunicorn a:b", Unix, Hup)),
        ("hypercorn", "reload", With("hypercorn --bind fd://3 a:b", Tcp, Hup), With("hypercorn --bind fd://3 a:b", Unix)),
        ("daphne", "sockets", With("python3 -m daphne --fd 3 a:b", Unix), With("python3 -m daphne --fd 3 a:b", Tcp)),
        ("daphne", "reload", With("daphne --fd 3 a:b", Tcp, Hup), With("daphne --fd 3 a:b", Tcp, "reload = { command = [\"true\"] }")),
        (
            "twistd", "sockets", With("twistd3 -n web --listen systemd:domain=UNIX:index=0", Unix),
            With("twistd3 -n web --listen systemd:domain=UNIX:index=0", Unix, "update = \"replace\"")),
        ("twistd", "sockets", With("twistd -ny a.tac", Unix), With("twistd -ny a.tac", Unix + "\npin_path = true")),
        ("twistd", "sockets", With("twistd -ny a.tac", Unix), With("twistd -n web --listen systemd:domain=INET:index=1", Unix)),
        ("bun", "sockets", With("bun run web.ts", Tcp), With("bun run web.ts", Tcp, "ready = { http = \"http://127.0.0.1/\" }")),
        ("bun", "sockets", With("bun web.ts", Tcp, "ready = { tcp = \"127.0.0.1:80\" }"), With("bun web.ts", Udp)),
        (
            "deno", "sockets", With("deno serve web.ts", Unix, "ready = \"notify\""),
            With("deno run web.ts", Unix, "health = { command = [\"ask\"] }")),
        ("sshd", "reload", With("/usr/sbin/sshd -D", Tcp, Hup), With("/usr/sbin/sshd -D", Tcp)),
        ("sshd", "sockets", With("sshd -D", Unix), With("sshd -i", Unix, "start = \"connection\"", "input = \"socket\"")),
        ("dovecot", "sockets", With("dovecot -F", "listen = [\"tcp://*:1\", \"unix:/s\"]"), With("dovecot -F", Tcp, Hup)),
        ("cupsd", "reload", With("cupsd -l", Unix, Hup), Without("cupsd -f", Hup)),
        ("mariadbd", "sockets", With("mariadbd", Udp), With("mariadbd", Unix, Hup)),
        ("stunnel", "sockets", With("stunnel4 /c", Udp), With("stunnel4 /c", Tcp, Hup)),
        ("dbus-daemon", "sockets", With("dbus-daemon", Udp), With("dbus-daemon", Unix, Hup)),
        ("redis-server", "sockets", With("redis-server", Unix), Without("redis-server")),
        ("knotd", "sockets", With("knotd", Udp), Without("knotd")),
        ("mosquitto", "sockets", With("mosquitto", Tcp), Without("mosquitto")),
        ("dnsmasq", "sockets", With("dnsmasq -k", Udp), Without("dnsmasq -k")),
    ];

    public static TheoryData<string, string, string, string> Cases
    {
        get
        {
            TheoryData<string, string, string, string> cases = [];
            foreach ((string program, string key, string wrong, string right) in All)
                cases.Add(program, key, wrong, right);
            return cases;
        }
    }

    public static TheoryData<string> Programs => new(ProgramRules.All.Select(r => r.Program).Distinct());

    [Theory]
    [MemberData(nameof(Cases))]
    public void WhatIsKnownNotToWorkIsToldAndWhatIsRightIsNot(string program, string key, string wrong, string right)
    {
        ConfigResult result = Reading.Read(wrong);

        Assert.StartsWith($"LD1313 services.x.{key}: ", Reading.Headers(result), StringComparison.Ordinal);
        Assert.Contains($"(seen with {program} ", Assert.Single(result.Diagnostics).Message, StringComparison.Ordinal);
        Assert.EndsWith("; see docs/programs.md", result.Diagnostics[0].Hint, StringComparison.Ordinal);
        Assert.NotNull(result.Definition);
        Assert.Equal("", Reading.Headers(Reading.Read(right)));
    }

    [Fact]
    public void EachRuleHasACase()
    {
        string[] told = [.. All.SelectMany(c => Reading.Read(c.Wrong).Diagnostics).Select(d => d.Message)];

        Assert.All(ProgramRules.All, rule =>
        {
            string cause = rule.Cause.Replace(ProgramRule.SocketName, "s", StringComparison.Ordinal);
            Assert.Contains($"services.x.{rule.Key}: {cause} (seen with {rule.Program} {rule.Version})", told);
        });
    }

    [Theory]
    [InlineData("python3 app.py")]
    [InlineData("python3")]
    [InlineData("perl -T")]
    [InlineData("nginx-exporter")]
    [InlineData("sh -c sshd")]
    [InlineData("123")]
    public void AProgramThatIsNotKnownIsLeftAlone(string command) =>
        Assert.Equal("", Reading.Headers(Reading.Read(With(command, Unix, Hup))));

    [Fact]
    public void TheCaretStandsUnderTheSocketOrUnderTheKeyOfTheDefaults()
    {
        string two = "[sockets.a]\nlisten = \"tcp://*:1\"\n[sockets.b]\nlisten = \"unix:/b\"\n"
            + "[services.x]\ncommand = [\"sshd\"]\nsockets = [\"a\", \"b\"]\n";

        Assert.Equal("\"b\"", Marked(Reading.Read(two)));
        Assert.Equal("{ signal = \"HUP\" }", Marked(Reading.Read($"[defaults]\n{Hup}\n{With("sshd", Tcp)}")));
    }

    [Fact]
    public void TheRemedyNamesTheSocket()
    {
        ConfigResult result = Reading.Read(With("nginx", Tcp));

        Assert.Equal("add environment = { NGINX = \"${fd:s};\" }; see docs/programs.md", Assert.Single(result.Diagnostics).Hint);
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void EachProgramThatIsKnownHasARowWithTheVersion(string program)
    {
        string[] rows = [.. RowsBefore("## What does not work").Where(r => NamesOf(r).Any(n => IsFor(n, program)))];

        string first = Assert.Single(rows).Split('|')[1];
        Assert.All(ProgramRules.For(program), rule => Assert.Contains($" {rule.Version}", first, StringComparison.Ordinal));
    }

    [Fact]
    public void WhatTheDocumentSaysIsCheckedIsChecked()
    {
        IEnumerable<string> section = Document.SkipWhile(l => l != "## What does not work");
        string[] rows = [.. section.Where(l => l.EndsWith("| LD1313 |", StringComparison.Ordinal))];
        IEnumerable<string> named = rows.SelectMany(NamesOf).Select(n => n.ToLowerInvariant()).Distinct();

        Assert.Equal(ProgramRules.All.Select(r => r.Program).Distinct().Order(StringComparer.Ordinal), named.Order(StringComparer.Ordinal));
    }

    private static string With(string command, string socket, params string[] keys) =>
        $"[sockets.s]\n{socket}\n{Without(command, ["sockets = [\"s\"]", .. keys])}";

    private static string Without(string command, params string[] keys) =>
        $"[services.x]\ncommand = [\"{string.Join("\", \"", command.Split(' '))}\"]\n{string.Join('\n', keys)}\n";

    private static string Variable(string name) => $"environment = {{ {name} = \"a=${{fd:s}}\" }}";

    private static string Marked(ConfigResult result) =>
        Assert.Single(result.Diagnostics).Span is var span ? span.Source.Text.Substring(span.Start, span.Length) : "";

    private static IEnumerable<string> RowsBefore(string heading) =>
        Document.TakeWhile(l => l != heading).Where(l => l.StartsWith("| ", StringComparison.Ordinal));

    private static string[] NamesOf(string row) => row.Split('|')[1].Split(',', StringSplitOptions.TrimEntries);

    private static bool IsFor(string name, string program) => name.StartsWith(program + " ", StringComparison.OrdinalIgnoreCase);
}
