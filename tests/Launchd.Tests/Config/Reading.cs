using System.Text;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Config;

/// <summary>Files in memory for the reader's tests.</summary>
internal sealed class MemoryFiles : IConfigFiles
{
    private readonly SortedDictionary<string, byte[]> _files = new(StringComparer.Ordinal);

    public Dictionary<string, string> Distrusts { get; } = [];

    public MemoryFiles Add(string path, string text) => Add(path, Encoding.UTF8.GetBytes(text));

    public MemoryFiles Add(string path, byte[] bytes)
    {
        _files[path] = bytes;
        return this;
    }

    public ConfigFileContent Read(string absolutePath, int mostBytes) =>
        _files.TryGetValue(absolutePath, out byte[]? bytes)
            ? new ConfigFileContent(bytes[..Math.Min(bytes.Length, mostBytes)], null)
            : ConfigFileContent.Failed("does not exist");

    public IReadOnlyList<string> List(string absolutePattern) =>
        [.. _files.Keys.Where(
            path => System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(absolutePattern, path, ignoreCase: false))];

    public string? FindDistrust(string absolutePath) => Distrusts.GetValueOrDefault(absolutePath);
}

/// <summary>Short ways to read a text and to look at the outcome.</summary>
internal static class Reading
{
    public const string FilePath = "/etc/shop/web.toml";

    public static ConfigSource Source(string text, uint userId = 0, params (string Name, string Value)[] environment) =>
        Source(new MemoryFiles().Add(FilePath, text), userId, environment);

    public static ConfigSource Source(MemoryFiles files, uint userId = 0, params (string Name, string Value)[] environment) => new()
    {
        FilePath = FilePath,
        Environment = environment.ToDictionary(v => v.Name, v => v.Value),
        UserId = userId,
        Files = files,
    };

    public static ConfigResult Read(string text, uint userId = 0, params (string Name, string Value)[] environment) =>
        ConfigReader.Read(Source(text, userId, environment));

    /// <summary>The definition of a text that must be right.</summary>
    public static SupervisorDefinition Define(string text, uint userId = 0, params (string Name, string Value)[] environment)
    {
        ConfigResult result = Read(text, userId, environment);
        Assert.True(result.Definition is not null, result.Print());
        return result.Definition;
    }

    /// <summary>The one service of a text that must be right, with a command added.</summary>
    public static ServiceDefinition Service(string keys, string rest = "") =>
        Assert.Single(Define($"{rest}\n[services.web]\ncommand = [\"web\"]\n{keys}").Services);

    /// <summary>The diagnostics of a service with a command and these keys, printed without their source lines.</summary>
    public static string ProblemsOf(string keys, string rest = "") => Headers(Read($"{rest}\n[services.web]\ncommand = [\"web\"]\n{keys}"));

    /// <summary>Code and message of each diagnostic, one a line.</summary>
    public static string Headers(ConfigResult result) => string.Join('\n', result.Diagnostics.Select(d => $"{d.CodeText} {d.Message}"));
}
