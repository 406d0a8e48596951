namespace Launchd.AcceptanceTests.Support;

/// <summary>A folder of one test's own, with a path short enough for Unix sockets, removed at the end.</summary>
internal sealed class Scratch : IDisposable
{
    public Scratch()
    {
        FolderPath = Directory.CreateTempSubdirectory("lcs-").FullName;
    }

    public string FolderPath { get; }

    public string At(string name) => Path.Combine(FolderPath, name);

    /// <summary>Writes a file of that name and returns its path.</summary>
    public string Write(string name, string text)
    {
        File.WriteAllText(At(name), text);
        return At(name);
    }

    /// <summary>Copies the files of <c>Cases/NAME</c>.</summary>
    public void CopyCase(string name)
    {
        string from = Path.Combine(Repository.Root, "tests", "Launchd.AcceptanceTests", "Cases", name);
        foreach (string file in Directory.GetFiles(from))
            File.Copy(file, At(Path.GetFileName(file)));
    }

    /// <summary>Processes that work in this folder or name it in their command line: <c>pid command</c>.</summary>
    public IReadOnlyList<(int Pid, string Command)> Processes()
    {
        List<(int Pid, string Command)> found = [];
        foreach (string folder in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid) || pid == Environment.ProcessId)
                continue;
            try
            {
                string command = File.ReadAllText(folder + "/cmdline").Replace('\0', ' ');
                string? home = new FileInfo(folder + "/cwd").LinkTarget;
                if (command.Contains(FolderPath, StringComparison.Ordinal) || home == FolderPath)
                    found.Add((pid, command));
            }
            catch (IOException)
            {
                // It ended while we looked.
            }
            catch (UnauthorizedAccessException)
            {
                // Another user's: not ours.
            }
        }
        return found;
    }

    public void Dispose() => Directory.Delete(FolderPath, recursive: true);
}
