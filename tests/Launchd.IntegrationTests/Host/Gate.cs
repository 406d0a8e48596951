using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>A FIFO at which a service waits (<c>read x &lt; PATH</c>) until the test says something through it.</summary>
internal sealed class Gate : IDisposable
{
    private readonly Scratch _scratch = new();

    public Gate()
    {
        using FileDescriptor? folder = Files.Open(null, _scratch.FolderPath, 0, 0, out _);
        Assert.Equal(Errno.None, Files.MakeFifo(folder!, "gate", 0b110_110_110));
        File.SetUnixFileMode(_scratch.FolderPath, (UnixFileMode)0b111_101_101);
    }

    public string FilePath => _scratch.At("gate");

    /// <summary>Waits till somebody reads, fifo(7), and says a line.</summary>
    public Task Say(string line) => Deadline.Await(Task.Run(() => Write(line)), "reader of the gate", () => line);

    public Task Open() => Say("go");

    public void Dispose() => _scratch.Dispose();

    private bool Write(string line)
    {
        using FileStream gate = new(FilePath, FileMode.Open, System.IO.FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        gate.Write(System.Text.Encoding.UTF8.GetBytes(line + "\n"));
        return true;
    }
}
