using System.Globalization;
using Launchd.Cli.Surroundings;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Host.Keeping;
using Launchd.Host.Manager;
using Launchd.Host.Reporting;
using Launchd.Host.Startup;
using Launchd.Keeper;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>run</c>.</summary>
/// <param name="File">The configuration; null: <c>launchd.toml</c> here.</param>
/// <param name="ExitWith">The service with which the supervisor ends; null: none.</param>
/// <param name="TrustsConfig">Whether the files of a configuration of root may belong to, or be writable by, others.</param>
/// <param name="TakesOver">Whether programs of a killed supervisor are ended, of which no keeper holds anything.</param>
internal sealed record RunOptions(string? File, string? ExitWith, bool TrustsConfig = false, bool TakesOver = false)
{
    /// <summary>
    /// Understands the plain form <c>run [FILE] [--exit-with SERVICE] [--trust-config]</c>; null: anything else, which the parser explains.
    /// </summary>
    public static RunOptions? TryReadPlain(string[] arguments)
    {
        int trust = Array.IndexOf(arguments, Trust);
        if (trust < 0)
            return ReadPlain(arguments);
        // Where the parser could take it for the name of a service, or the next word for the value of the switch, the parser decides.
        bool hasValue = trust + 1 < arguments.Length && bool.TryParse(arguments[trust + 1], out _);
        if (trust == 0 || arguments[trust - 1] == ExitWithOption || hasValue)
            return null;
        return ReadPlain([.. arguments[..trust], .. arguments[(trust + 1)..]]) is { } plain ? plain with { TrustsConfig = true } : null;
    }

    private const string Trust = "--trust-config";
    private const string ExitWithOption = "--exit-with";

    private static RunOptions? ReadPlain(string[] arguments) => arguments switch
    {
        ["run"] => new RunOptions(null, null),
        ["run", var file] when IsPlain(file) => new RunOptions(file, null),
        ["run", var file, ExitWithOption, var service] when IsPlain(file) && IsPlain(service) => new RunOptions(file, service),
        ["run", ExitWithOption, var service, var file] when IsPlain(file) && IsPlain(service) => new RunOptions(file, service),
        _ => null,
    };

    private static bool IsPlain(string argument) => argument.Length > 0 && argument[0] is not ('-' or '@' or '[');
}

/// <summary><c>run</c>: the supervisor in the foreground.</summary>
internal static class RunCommand
{
    /// <summary>Returns the exit code of the process, which with <see cref="RunOptions.ExitWith"/> is a service's own.</summary>
    public static int Run(RunOptions options)
    {
        try
        {
            // Under the JIT this executes the program once more; then everything from here on happens in the second execution.
            SignalMask.Enter();
            using KeeperLink? keeper = KeeperLink.FromEnvironment();
            // Before the configuration is read, which would use memory that the keeper has no need of. Null: there is to be no keeper, and
            // this process is the supervisor.
            if (keeper is null && KeeperProcess.Run() is { } code)
                return code;
            // Every descriptor that was held takes a number.
            if (keeper is not null)
                _ = InheritedFileLimit.Raise();
            using Heritage? heritage = keeper is null ? null : Heritage.Take(keeper);
            ConfigSource source = ConfigurationOf(options.File, options.TrustsConfig);
            // What held holds on, whatever the file says by now: only a reload adopts that.
            if (heritage?.State is { } restored)
                return SupervisorRun.Run(restored.Adopted, [], ExitWith(options), Offer, source, keeper: keeper, heritage: heritage);
            ConfigResult result = ConfigReader.Read(source);
            if (result.Definition is not { } definition)
                return Complain(result.Print(ShowsColour), ExitCode.BadConfiguration);
            if (options.ExitWith is { } name && definition.Services.All(s => s.Name.Text != name))
            {
                string hint = Suggestion.For(name, definition.Services.Select(s => s.Name.Text)) is { } found ? "; " + found : "";
                return Complain(
                    $"launchd-cs: --exit-with: there is no service '{name}' in {definition.ConfigPath}{hint}\n", ExitCode.NoSuchService);
            }
            if (!definition.Keeper && keeper is not null && heritage is { IsFirst: true })
            {
                keeper.NotWanted();
                return 0;
            }
            return SupervisorRun.Run(definition, result.Diagnostics, ExitWith(options), Offer, source, keeper: keeper, heritage: heritage,
                takesOver: options.TakesOver);
        }
        catch (CliException refused)
        {
            return Complain($"launchd-cs: {refused.Message}\n", refused.Code);
        }
        catch (StartRefusedException refused)
        {
            return Complain($"launchd-cs: {refused.Message}\n", refused.Code);
        }
        catch (SystemCallException refused)
        {
            return Complain($"launchd-cs: {refused.Message}\n", ExitCode.SystemRefused);
        }
    }

    /// <summary>The surroundings in which a configuration is read.</summary>
    /// <param name="file">Null: <c>launchd.toml</c> here.</param>
    /// <param name="isTrusted">Whoever may change it; else <c>LAUNCHD_TRUST_CONFIG</c> tells.</param>
    public static ConfigSource ConfigurationOf(string? file, bool isTrusted = false)
    {
        string name = file ?? "launchd.toml";
        uint user = Interop.Libc.geteuid();
        return new ConfigSource
        {
            FilePath = CliContext.FullPath(name),
            DisplayPath = name,
            Environment = EnvironmentOf(user),
            UserId = user,
            IsOwnDirectory = UserRuntimeDirectory.IsOwn,
            Files = new DiskConfigFiles(
                path => FileStatus.ReadFollow(path, out FileStatus status) == Client.Errno.None ? status.Uid : null, user,
                areTrusted: isTrusted || OwnStart.Variable("LAUNCHD_TRUST_CONFIG") == "1"),
        };
    }

    /// <summary>
    /// The variables of this process, with a HOME: systemd sets none for a service without User= (systemd.exec(5)), and whatever the
    /// supervisor starts would have none either.
    /// </summary>
    private static IReadOnlyDictionary<string, string> EnvironmentOf(uint user)
    {
        if (OwnStart.Variable("HOME") is not null
            || Identity.FindUser(user.ToString(CultureInfo.InvariantCulture)).Value?.Home is not { Length: > 0 } home)
        {
            return OwnStart.Environment;
        }
        return new Dictionary<string, string>(OwnStart.Environment, StringComparer.Ordinal) { ["HOME"] = home };
    }

    private static ServiceName? ExitWith(RunOptions options) => options.ExitWith is { } name ? new ServiceName(name) : null;

    private static bool ShowsColour => !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";

    private static ManagerOffer Offer => ManagerOffer.Read(Environment.ProcessId, OwnStart.Variable);

    private static int Complain(string text, ExitCode code)
    {
        // So that "systemctl status" has the reason beside the code.
        if (Offer.NotifySocket is { } address)
            ManagerLink.SayOnce(address, "STATUS=" + text.Split('\n')[0]);
        // Not written by Console, which may still hold the pipe that replaced standard error while the supervisor was starting.
        try
        {
            using StandardStream error = new(2);
            error.Write(System.Text.Encoding.UTF8.GetBytes(text));
        }
        catch (Exception unread) when (unread is BrokenPipeException or IOException)
        {
            // Standard error cannot be written: only the exit code tells.
        }
        return (int)code;
    }
}
