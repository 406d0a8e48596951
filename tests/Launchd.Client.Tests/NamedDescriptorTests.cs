using System.IO.MemoryMappedFiles;
using System.IO.Pipes;
using System.Net;
using System.Net.Sockets;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

public sealed class NamedDescriptorTests
{
    [Fact]
    public void EachKindIsTold()
    {
        using var file = new FileStream(
            Path.GetTempFileName(), FileMode.Open, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 8);
        using var pipe = new AnonymousPipeServerStream(PipeDirection.Out);
        using FileStream device = File.OpenRead("/dev/null");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        (Socket first, Socket second) = DescriptorSocket.CreatePair(SocketType.Stream);
        using PidFd process = PidFd.Open(Environment.ProcessId);

        Assert.Equal(DescriptorKind.File, Copy(file.SafeFileHandle).Kind);
        Assert.Equal(DescriptorKind.Memory, Copy(memory).Kind);
        Assert.Equal(DescriptorKind.Pipe, Copy(pipe.SafePipeHandle).Kind);
        Assert.Equal(DescriptorKind.Device, Copy(device.SafeFileHandle).Kind);
        Assert.Equal(DescriptorKind.Listener, Copy(listener.Server.SafeHandle).Kind);
        Assert.Equal(DescriptorKind.Socket, Copy(first.SafeHandle).Kind);
        Assert.Equal(DescriptorKind.Process, Copy(process.Descriptor).Kind);
        first.Dispose();
        second.Dispose();
    }

    [Fact]
    public void AWrongKindIsRefused_AndCanStillBeTakenAsWhatItIs()
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 8);
        NamedDescriptor copy = Copy(memory);

        LaunchdException refused = Assert.Throws<LaunchdException>(copy.TakeSocket);
        Assert.Equal((LaunchdError.WrongKind, "Memory"), (refused.Error, refused.Detail));
        Assert.Equal(LaunchdError.WrongKind, Assert.Throws<LaunchdException>(copy.TakeProcess).Error);
        Assert.False(copy.IsTaken);
        copy.TakeFile().Dispose();
        Assert.True(copy.IsTaken);
        _ = Assert.Throws<ObjectDisposedException>(copy.TakeFile);
        _ = Assert.Throws<ObjectDisposedException>(copy.Take);
    }

    [Fact]
    public async Task ASocketThatDoesNotBlock_CanBeUsedSynchronously()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
        {
            second.Blocking = false;
            using Socket taken = Copy(second.SafeHandle).TakeSocket();
            Task sending = Task.Run(() => first.Send("word"u8));

            Assert.Equal(4, taken.Receive(new byte[8]));
            taken.Blocking = false;
            Assert.Equal(0, taken.Receive(new byte[8], SocketFlags.None, out SocketError error));
            Assert.Equal(SocketError.WouldBlock, error);
            await sending;
        }
    }

    [Fact]
    public void ASocketIsNoFile()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
        using (NamedDescriptor copy = Copy(first.SafeHandle))
        {
            Assert.Equal(LaunchdError.WrongKind, Assert.Throws<LaunchdException>(copy.TakeFile).Error);
            Assert.Equal(LaunchdError.WrongKind, Assert.Throws<LaunchdException>(() => copy.TakeMemory()).Error);
        }
    }

    [Fact]
    public void MappedMemoryIsSeenByEveryHolder()
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("shared", 4_096);
        using MemoryMappedFile first = Copy(memory).TakeMemory();
        using MemoryMappedFile second = Copy(memory).TakeMemory(MemoryMappedFileAccess.Read);
        using MemoryMappedViewAccessor writing = first.CreateViewAccessor();
        using MemoryMappedViewAccessor reading = second.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);

        writing.Write(4_000, 42L);

        Assert.Equal(42L, reading.ReadInt64(4_000));
    }

    [Fact]
    public void APipesEndsAreStreamsInTheirDirection()
    {
        using var pipe = new AnonymousPipeServerStream(PipeDirection.Out);
        using FileStream writing = Copy(pipe.SafePipeHandle).TakeStream();
        using FileStream reading = Copy(pipe.ClientSafePipeHandle).TakeStream();

        writing.WriteByte(7);

        Assert.Equal((7, false, false), (reading.ReadByte(), reading.CanWrite, writing.CanRead));
    }

    [Fact]
    public void OfManyThatTakeAtOnce_OneGetsIt()
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 8);
        NamedDescriptor copy = Copy(memory);
        int taken = 0;

        _ = Parallel.For(0, 64, i =>
        {
            try
            {
                copy.Take().Dispose();
                _ = Interlocked.Increment(ref taken);
            }
            catch (ObjectDisposedException)
            {
                // Another was faster.
            }
        });

        Assert.Equal(1, taken);
    }

    private static NamedDescriptor Copy(System.Runtime.InteropServices.SafeHandle handle) =>
        new("it", new FileDescriptor(Kernel.Duplicate(handle)));
}
