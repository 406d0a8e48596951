using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Environment, arguments, directories and paths that are no UTF-8 reach a program byte for byte. A shell makes them, because the runtime
/// of the tests cannot.
/// </summary>
public sealed class BytesTests
{
    private const string Latin1 = "6772fc6e";

    // What the program was given, each on a line of its own, in hexadecimal digits.
    private const string Told = """
        #!/bin/sh
        hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; echo; }
        n=$(tr '\0' '\n' < /proc/$$/environ | LC_ALL=C sed -n 's/^N.*=name$/found/p')
        for one in "$1" "$E" "$n" "${PWD##*/}"; do hex "$one"; done > told
        """;

    [Fact]
    public async Task ThroughActivate()
    {
        using Scratch place = new();
        _ = place.Write("tell", Told);
        string launchd = string.Join(' ', Repository.LaunchdCommand.Select(w => $"'{w}'"));
        await using Command run = Command.Start(["/bin/sh", "-c", $"""
            B=$(printf 'gr\374n'); mkdir "$B"; cd "$B" || exit 1
            exec env "$(printf 'N\374=name')" {launchd} activate --now -l ./s.sock --setenv "E=$B" -- sh ../tell "$B"
            """], place.FolderPath);

        await Tells(run, place);
    }

    [Fact]
    public async Task ThroughAConfiguration()
    {
        using Scratch place = new();
        _ = place.Write("tell", Told);
        File.SetUnixFileMode(place.At("tell"), (UnixFileMode)0b111_101_101);
        _ = place.Write("included", """
            [services.a]
            command = ["./tell", "${B}"]
            environment = { E = "${B}" }
            environment_files = ["a.env"]
            pass_environment = ["N*"]
            log = { path = "a.log" }
            """);
        string launchd = string.Join(' ', Repository.LaunchdCommand.Select(w => $"'{w}'"));
        await using Command run = Command.Start(["/bin/sh", "-c", $"""
            B=$(printf 'gr\374n'); mkdir -p "$B/conf"; mv included "$B/conf/$B.toml"; mv tell "$B/conf/"; cd "$B" || exit 1
            echo A=1 > conf/a.env
            printf 'include = ["conf/*.toml"]\n[supervisor]\nruntime_directory = "run"\n' > launchd.toml
            printf '[defaults]\nworking_directory = "."\n' >> launchd.toml
            export B; exec env "$(printf 'N\374=name')" {launchd} run --exit-with a
            """], place.FolderPath);

        await Tells(run, place);
    }

    private static async Task Tells(Command run, Scratch place)
    {
        try
        {
            Assert.True(await run.Exit() == 0, run.Errors.ToString());
            Assert.Equal(
                [Latin1, Latin1, Hex("found"), Latin1], Shell(place, "cat gr*/told").Split('\n', StringSplitOptions.RemoveEmptyEntries));
        }
        finally
        {
            _ = Shell(place, "rm -rf gr*");
        }
    }

    // The runtime of the tests can neither read nor remove what lies there.
    private static string Shell(Scratch place, string script)
    {
        System.Diagnostics.ProcessStartInfo shell = new("/bin/sh", ["-c", script])
        {
            WorkingDirectory = place.FolderPath, RedirectStandardOutput = true,
        };
        using System.Diagnostics.Process reader = System.Diagnostics.Process.Start(shell)!;
        return reader.StandardOutput.ReadToEnd();
    }

    private static string Hex(string text) => Convert.ToHexStringLower(System.Text.Encoding.UTF8.GetBytes(text));
}
