using System.Text;
using Launchd.Client;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>
/// Replaces the test process's own descriptors 1 and 2 for a moment. Whatever else writes to them meanwhile is passed on or ends up in
/// the test's pipe, so only the test's own lines are looked at.
/// </summary>
[CollectionDefinition("own descriptors", DisableParallelization = true)]
public sealed class OwnDescriptors;

[Collection("own descriptors")]
public sealed class ConsoleRedirectTests
{
    [Fact]
    public void OwnLinesPassUnchanged_ServiceLinesArePrefixed_AndAllComesOutBeforeTheEnd()
    {
        using var swapped = new SwappedOutput();
        ConsoleRedirect redirect = ConsoleRedirect.Begin();
        Assert.Same(redirect.Output, redirect.Error);
        using var harness = new RedirectedPump(redirect);
        (FileDescriptor read, FileDescriptor web) = PumpHarness.Pipe();
        harness.Pump.Add(new OutputSource { InstanceId = 1, Service = "web", Slot = 0, Stream = "output" }, read);

        PumpHarness.Write(web, "from the service\n");
        using (var own = new FileDescriptor(PumpCalls.Duplicate(2, out _)!.ReleaseNumber()))
            PumpHarness.Write(own, "\x1b[1mown\x1b[0m line\nunterminated");
        Assert.True(redirect.Drain(harness.Pump, TimeSpan.FromSeconds(30)));
        web.Dispose();

        string[] lines = swapped.Lines();
        Assert.Contains("web.0 │ from the service", lines);
        Assert.Contains("\x1b[1mown\x1b[0m line", lines);
        Assert.Contains("unterminated", lines);
    }

    [Fact]
    public void AFloodOfOwnLines_CannotBlock_AndTheOriginalsKeepTheirFlags()
    {
        using var swapped = new SwappedOutput();
        ConsoleRedirect redirect = ConsoleRedirect.Begin();

        // No pump yet: the pipe fills up and says so, instead of waiting.
        Errno error = Errno.None;
        byte[] line = Encoding.ASCII.GetBytes(new string('o', 99) + "\n");
        for (int i = 0; i < 100_000 && error == Errno.None; i++)
            _ = PumpCalls.Write(1, line, out error);

        Assert.Equal(Errno.EAGAIN, error);
        Assert.Equal(0, Libc.fcntl(redirect.OriginalOutput.Number, Libc.F_GETFL, 0) & Libc.O_NONBLOCK);
        redirect.Dispose();
    }

    [Fact]
    public void TheLoggersLines_ArriveThroughTheRedirection_FilteredByLevel()
    {
        using var swapped = new SwappedOutput();
        ConsoleRedirect redirect = ConsoleRedirect.Begin();
        using var harness = new RedirectedPump(redirect);

        (ILogger logger, _) = SupervisorLogging.Create(LogFormat.Systemd, LogSeverity.Warning, colour: false, redirect.Say);
        Assert.False(logger.IsEnabled(LogLevel.Information));
        logger.Log(LogLevel.Information, default, "not this", null, (s, _) => s);
        logger.Log(LogLevel.Warning, default, "but this", null, (s, _) => s);
        Assert.True(redirect.Drain(harness.Pump, TimeSpan.FromSeconds(30)));

        string[] lines = swapped.Lines();
        Assert.Contains("<4>but this", lines);
        Assert.DoesNotContain("<6>not this", lines);
    }

    [Fact]
    public void LinesBeyondWhatThePumpTakesAreDropped_AndItIsSaidHowMany()
    {
        using var swapped = new SwappedOutput();
        ConsoleRedirect redirect = ConsoleRedirect.Begin();
        using var harness = new RedirectedPump(redirect);
        using ManualResetEventSlim gate = new();
        using ManualResetEventSlim done = new();
        using FileDescriptor nothing = Launchd.Linux.Paths.Files.Open(null, "/dev/null", 1, 0, out _)!;
        using OutputWriter nowhere = OutputWriter.Open(nothing);

        harness.Pump.Enqueue(gate.Wait);
        harness.Pump.Say(nowhere, new byte[1 << 20]);
        harness.Pump.Say(nowhere, "one\ntwo\n"u8.ToArray());
        gate.Set();
        harness.Pump.Enqueue(done.Set);
        Assert.True(done.Wait(TimeSpan.FromSeconds(30)));
        redirect.Say("after\n"u8.ToArray());
        Assert.True(redirect.Drain(harness.Pump, TimeSpan.FromSeconds(30)));

        string[] lines = swapped.Lines();
        Assert.Contains("after", lines);
        Assert.Contains("launchd-cs: 2 lines lost", lines);
    }

    /// <summary>A pump for a redirection.</summary>
    private sealed class RedirectedPump : IDisposable
    {
        private readonly ConsoleRedirect _redirect;

        public RedirectedPump(ConsoleRedirect redirect)
        {
            _redirect = redirect;
            Pump = LogPump.TryStart(new LogPumpOptions { Post = action => action(), Display = redirect.Output })!;
            redirect.Attach(Pump);
        }

        public LogPump Pump { get; }

        public void Dispose()
        {
            Pump.Dispose();
            _redirect.Dispose();
        }
    }

    /// <summary>Makes one pipe of 1 and 2, and them what they were on disposal.</summary>
    private sealed class SwappedOutput : IDisposable
    {
        private readonly FileDescriptor _output = PumpCalls.Duplicate(1, out _)!;
        private readonly FileDescriptor _error = PumpCalls.Duplicate(2, out _)!;
        private readonly FileDescriptor _reader;

        public SwappedOutput()
        {
            (_reader, FileDescriptor writer) = PumpHarness.Pipe();
            Libc.dup2(writer.Number, 1);
            Libc.dup2(writer.Number, 2);
            writer.Dispose();
        }

        /// <summary>What is in the pipe now.</summary>
        public string[] Lines()
        {
            byte[] buffer = new byte[64 * 1024];
            int count = PumpCalls.ReadableBytes(_reader.Number);
            return count == 0 ? [] : Encoding.UTF8.GetString(buffer, 0, PumpCalls.Read(_reader.Number, buffer, out _)).Split('\n');
        }

        public void Dispose()
        {
            Libc.dup2(_output.Number, 1);
            Libc.dup2(_error.Number, 2);
            _output.Dispose();
            _error.Dispose();
            _reader.Dispose();
        }
    }
}
