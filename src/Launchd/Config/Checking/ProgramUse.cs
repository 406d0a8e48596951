using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>Which program a service runs, as far as its command tells, and how it is started.</summary>
internal sealed class ProgramUse
{
    // What runs the program that an argument names, and is none itself; with the options whose value is an argument of its own.
    private static readonly Dictionary<string, string[]> Interpreters = new(StringComparer.Ordinal)
    {
        ["perl"] = ["-I"], ["ruby"] = ["-I"], ["pypy"] = ["-W", "-X"], ["python"] = ["-W", "-X"],
    };

    // Names under which Debian has a program beside its own one.
    private static readonly Dictionary<string, string> Aliases =
        new(StringComparer.Ordinal) { ["uwsgi-core"] = "uwsgi", ["uwsgi_python"] = "uwsgi" };

    private ProgramUse(ServiceDefinition service, string program, ImmutableArray<string> arguments) =>
        (Service, Program, Arguments) = (service, program, arguments);

    public ServiceDefinition Service { get; }

    /// <summary>The base name without a version: <c>php-fpm</c> for <c>/usr/sbin/php-fpm8.2</c>.</summary>
    public string Program { get; }

    /// <summary>What follows the program's own name.</summary>
    public ImmutableArray<string> Arguments { get; }

    /// <summary>Looks at a command; one that an interpreter runs is the interpreter's script or module.</summary>
    public static ProgramUse Of(ServiceDefinition service)
    {
        ImmutableArray<string> command = service.Command;
        string program = NameOf(command[0]);
        int at = 0;
        if (Interpreters.TryGetValue(program, out string[]? withValue))
        {
            at = ScriptAt(command, withValue);
            program = at < command.Length ? NameOf(command[at]) : program;
        }
        // The server is a module that plackup loads, and what a listener does depends on it alone.
        ProgramUse use = new(service, program, [.. command.Skip(at + 1)]);
        return program == "plackup" && (use.ValueOf("-s") ?? use.ValueOf("--server")) is { } server
            ? new ProgramUse(service, server.ToLowerInvariant(), use.Arguments)
            : use;
    }

    public bool Has(string argument) => Arguments.Contains(argument, StringComparer.Ordinal);

    /// <summary>Whether any argument holds a text.</summary>
    public bool Mentions(string text) => Arguments.Any(a => a.Contains(text, StringComparison.OrdinalIgnoreCase));

    /// <summary>The value of an option, as its own argument or behind <c>=</c>; null without it.</summary>
    public string? ValueOf(string option)
    {
        for (int i = 0; i < Arguments.Length; i++)
        {
            if (Arguments[i] == option && i + 1 < Arguments.Length)
                return Arguments[i + 1];
            if (Arguments[i].StartsWith(option + "=", StringComparison.Ordinal))
                return Arguments[i][(option.Length + 1)..];
        }
        return null;
    }

    /// <summary>Whether the program finds a variable in its environment; files, whose text is not known here, may hold any.</summary>
    public bool MayHaveVariable(string name) => HasVariable(name) || !Service.Execution.EnvironmentFiles.IsEmpty;

    public bool HasVariable(string name) => Service.Execution.Environment.Any(v => v.Name == name);

    // The first argument that is no option, or the one after -m, which names a module of Python.
    private static int ScriptAt(ImmutableArray<string> command, string[] withValue)
    {
        int at = 1;
        while (at < command.Length && command[at] is ['-', ..] option)
        {
            at += withValue.Contains(option, StringComparer.Ordinal) ? 2 : 1;
            if (option == "-m")
                break;
        }
        return at;
    }

    private static string NameOf(string path)
    {
        string name = path[(path.LastIndexOf('/') + 1)..].TrimEnd(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        return Aliases.GetValueOrDefault(name, name);
    }
}
