using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>Opens the files of <c>environment_files</c>, which <see cref="EnvironmentFileParser"/> reads.</summary>
internal static class EnvironmentFileReader
{
    private const int MostBytes = 1 << 20;

    /// <summary>Adds the variables of a file. Null: done; else what is wrong with the file, and nothing was added.</summary>
    /// <param name="source">
    /// The file. Nothing is wrong with an optional one: it may be missing, and for other faults there is a warning.
    /// </param>
    /// <param name="user">The user with whose rights it is read, as in <see cref="FileRequest.User"/>.</param>
    /// <param name="variables">Gets the variables.</param>
    /// <param name="warnings">Gets a sentence, with the file and the line, for each line that is not as it looks.</param>
    public static string? Read(EnvironmentFile source, Credentials? user, Dictionary<string, string> variables, List<string> warnings)
    {
        string subject = $"environment file {source.FilePath}";
        EnvironmentFileParser parser = default;
        bool isMissing = false;
        string? problem = ReadBytes(source.FilePath, user, out byte[] bytes, ref isMissing);
        if (problem is null)
        {
            parser = new EnvironmentFileParser(bytes, variables);
            problem = parser.Run();
        }
        if (problem is null)
        {
            foreach (string warning in parser.Warnings)
                warnings.Add($"{subject}: {warning}");
        }
        else if (source.IsOptional && !isMissing)
        {
            warnings.Add($"{subject} is left out: {problem}");
        }
        return source.IsOptional ? null : problem;
    }

    private static string? ReadBytes(string path, Credentials? user, out byte[] read, ref bool isMissing)
    {
        read = [];
        FileRequest request = new() { Path = path, User = user, IsNonBlocking = true };
        if (!FileOpener.Open(request).TryGet(out FileDescriptor? opened, out OpenFailure? failure))
        {
            isMissing = failure.Errno == Errno.ENOENT;
            string why = !isMissing && failure.Explanation is { } known ? $" ({known})" : "";
            return $"it cannot be read: {failure.Errno.Text}{why}";
        }
        using FileDescriptor file = opened;
        if (Files.ReadBytes(file, MostBytes + 1, out Errno refused) is not { } bytes)
            return $"it cannot be read: {refused.Text}";
        read = bytes;
        return bytes.Length > MostBytes ? "it is larger than 1 MiB" : null;
    }
}
