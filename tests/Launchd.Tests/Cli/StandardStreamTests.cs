using System.Text;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Tmds.Linux;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class StandardStreamTests
{
    [Fact]
    public void ABrokenPipeIsToldApartFromOtherFailures()
    {
        (FileDescriptor reading, FileDescriptor writing) = Pipe(0);
        using FileDescriptor writer = writing;
        reading.Dispose();

        Assert.Throws<BrokenPipeException>(() => new StandardStream(writer.Number).Write("x"u8));
        Assert.Equal("Bad file descriptor", Assert.Throws<OutputFailedException>(() => new StandardStream(-1).Write("x"u8)).Message);
    }

    [Fact]
    public void APipeThatIsFullAndNonBlocking_IsWaitedFor()
    {
        (FileDescriptor reading, FileDescriptor writing) = Pipe(LibC.O_NONBLOCK);
        using FileDescriptor reader = reading;
        byte[] text = Encoding.UTF8.GetBytes(new string('x', 1 << 20));
        Thread thread = new(() =>
        {
            using FileDescriptor writer = writing;
            new StandardStream(writer.Number).Write(text);
        });

        thread.Start();
        int count = ReadAll(reader.Number);
        thread.Join();

        Assert.Equal(text.Length, count);
    }

    private static unsafe (FileDescriptor Reading, FileDescriptor Writing) Pipe(int flags)
    {
        int* numbers = stackalloc int[2];
        Assert.Equal(0, LibC.pipe2(numbers, LibC.O_CLOEXEC | flags));
        return (new FileDescriptor(numbers[0]), new FileDescriptor(numbers[1]));
    }

    private static unsafe int ReadAll(int number)
    {
        byte* buffer = stackalloc byte[4096];
        int count = 0;
        while (true)
        {
            pollfd wanted = new() { fd = number, events = (short)LibC.POLLIN };
            _ = LibC.poll(&wanted, 1, -1);
            int read = (int)LibC.read(number, buffer, 4096);
            if (read <= 0)
                return count;
            count += read;
        }
    }
}
