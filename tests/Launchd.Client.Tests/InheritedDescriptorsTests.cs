using System.Globalization;
using System.Net.Sockets;
using Launchd.Client.Tests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>The thirteen cases that systemd's own client was measured with, and the channel's.</summary>
public sealed class InheritedDescriptorsTests : IDisposable
{
    private const int EINVAL = 22, EBADF = 9;

    private readonly int _first = Kernel.FreeBlock();
    private readonly List<FileDescriptor> _placed = [];
    private readonly Dictionary<string, string> _environment = new() { ["LISTEN_PID"] = Own, ["LISTEN_FDS"] = "2" };

    public InheritedDescriptorsTests()
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("one", 16);
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
        {
            Kernel.Place(memory, _first);
            Kernel.Place(first.SafeHandle, _first + 1);
        }
        _placed.AddRange([new FileDescriptor(_first), new FileDescriptor(_first + 1)]);
    }

    private static string Own => Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

    // What a reading took over is closed by it: these owners may only close what is still theirs.
    public void Dispose() => _placed.ForEach(p => p.Dispose());

    [Fact]
    public void TwoWithNames_AreOwned_CloseOnExec_AndOfTheirKind()
    {
        _environment["LISTEN_FDNAMES"] = "settings:web";

        NamedDescriptor[] read = Read();

        Assert.Equal(["settings", "web"], read.Select(d => d.Name));
        Assert.Equal([DescriptorKind.Memory, DescriptorKind.Socket], read.Select(d => d.Kind));
        Assert.Equal([_first, _first + 1], read.Select(d => d.Descriptor.Number));
        Assert.All(read, d => Assert.True(Kernel.IsCloseOnExec(d.Descriptor.Number)));
    }

    [Fact]
    public void WithoutNames_EachIsUnknown() => Assert.Equal(["unknown", "unknown"], Read().Select(d => d.Name));

    [FactWhenKernel(6, 9)]
    public void TheRightPidfdId_IsAccepted()
    {
        using PidFd self = PidFd.Open(Environment.ProcessId);
        ulong id = DescriptorQuery.ProcessId64(self.Descriptor.Number);
        Assert.NotEqual(0UL, id);
        _environment["LISTEN_PIDFDID"] = id.ToString(CultureInfo.InvariantCulture);

        Assert.Equal(2, Read().Length);
    }

    [Theory]
    [InlineData("LISTEN_PIDFDID", "1")]
    [InlineData("LISTEN_PID", "1")]
    [InlineData("LISTEN_PID", null)]
    [InlineData("LISTEN_FDS", null)]
    public void WhatIsMeantForAnother_IsNoError_AndNothingIsTouched(string variable, string? value)
    {
        Set(variable, value);

        Assert.Empty(Read());
        Assert.False(Kernel.IsCloseOnExec(_first));
    }

    [Theory]
    [InlineData("LISTEN_PIDFDID", "mine")]
    [InlineData("LISTEN_PID", "me")]
    [InlineData("LISTEN_PID", "-1")]
    [InlineData("LISTEN_FDS", "0")]
    [InlineData("LISTEN_FDS", "-1")]
    [InlineData("LISTEN_FDS", "two")]
    [InlineData("LISTEN_FDS", "2147483647")]
    [InlineData("LISTEN_FDNAMES", "one")]
    [InlineData("LISTEN_FDNAMES", "one:two:three")]
    public void WhatCannotBeRead_IsAnError_ThatNamesTheVariable(string variable, string value)
    {
        Set(variable, value);

        LaunchdException refused = Assert.Throws<LaunchdException>(Read);

        Assert.Equal((LaunchdError.BadEnvironment, variable, EINVAL), (refused.Error, refused.Detail, refused.ErrorNumber));
        Assert.StartsWith(variable, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EmptyNamesAreNames()
    {
        _environment["LISTEN_FDNAMES"] = ":";

        Assert.Equal(["", ""], Read().Select(d => d.Name));
    }

    [Fact]
    public void AnAnnouncedDescriptorThatIsNotOpen_IsAnError_AndTheOthersStayAsTheyAre()
    {
        _environment["LISTEN_FDS"] = "3";

        LaunchdException refused = Assert.Throws<LaunchdException>(Read);

        Assert.Equal(EBADF, refused.ErrorNumber);
        Assert.Contains((_first + 2).ToString(CultureInfo.InvariantCulture), refused.Message, StringComparison.Ordinal);
        Assert.True(Kernel.IsOpen(_first));
    }

    [Fact]
    public void TheChannelIsTaken_IfItIsOurs()
    {
        _environment["LAUNCHD_CHANNEL"] = (_first + 1).ToString(CultureInfo.InvariantCulture);
        _environment["LAUNCHD_PID"] = Own;

        FileDescriptor? channel = InheritedDescriptors.ReadChannel(_environment.GetValueOrDefault);

        Assert.Equal(_first + 1, channel?.Number);
        Assert.True(Kernel.IsCloseOnExec(_first + 1));
    }

    [Theory]
    [InlineData("1")]
    [InlineData(null)]
    public void TheChannelOfAnother_IsIgnored(string? pid)
    {
        _environment["LAUNCHD_CHANNEL"] = (_first + 1).ToString(CultureInfo.InvariantCulture);
        Set("LAUNCHD_PID", pid);

        Assert.Null(InheritedDescriptors.ReadChannel(_environment.GetValueOrDefault));
        Assert.False(Kernel.IsCloseOnExec(_first + 1));
    }

    [Theory]
    [InlineData(0, 88)]
    [InlineData(2, EBADF)]
    public void WhatIsNotTheChannel_IsAnError(int offset, int errno)
    {
        _environment["LAUNCHD_CHANNEL"] = (_first + offset).ToString(CultureInfo.InvariantCulture);
        _environment["LAUNCHD_PID"] = Own;

        LaunchdException refused = Assert.Throws<LaunchdException>(() => InheritedDescriptors.ReadChannel(_environment.GetValueOrDefault));

        Assert.Equal(("LAUNCHD_CHANNEL", errno), (refused.Detail, refused.ErrorNumber));
    }

    [Fact]
    public void TheVariablesAreUnset_AlsoWhenTheyAreWrong()
    {
        Environment.SetEnvironmentVariable("LISTEN_PID", Own);
        Environment.SetEnvironmentVariable("LISTEN_FDS", "none");
        Environment.SetEnvironmentVariable("LAUNCHD_CHANNEL", "7");

        _ = Assert.Throws<LaunchdException>(() => LaunchdClient.FromEnvironment());

        Assert.Null(Environment.GetEnvironmentVariable("LISTEN_PID"));
        Assert.Null(Environment.GetEnvironmentVariable("LISTEN_FDS"));
        Assert.Null(Environment.GetEnvironmentVariable("LAUNCHD_CHANNEL"));
    }

    [Fact]
    public async Task WithoutASupervisor_EverythingHasACleanAnswer()
    {
        await using LaunchdClient client = new([], null, _ => null);

        Assert.False(client.IsSupervised);
        Assert.Empty(client.Inherited);
        Assert.Null(client.Find("http"));
        Assert.Null(client.WatchdogPeriod);
        Assert.False(client.NotifyReady());
        Assert.False(await client.BarrierAsync());
        LaunchdException refused = await Assert.ThrowsAsync<LaunchdException>(() => client.RequestAsync("cache", "ring"));
        Assert.Equal(LaunchdError.NoChannel, refused.Error);
        Assert.Equal(LaunchdError.NoChannel, (await Assert.ThrowsAsync<LaunchdException>(() => client.WatchAsync())).Error);
        Assert.Equal(LaunchdError.NoChannel, (await Assert.ThrowsAsync<LaunchdException>(() => client.StoreAsync("a", []))).Error);
    }

    [Theory]
    [InlineData("1000000", null, 1.0)]
    [InlineData("1000000", "", 1.0)]
    [InlineData("1000000", "1", null)]
    [InlineData("9223372036854775807", null, 922337203685.4775)]
    [InlineData("0", null, null)]
    [InlineData("soon", null, null)]
    [InlineData(null, null, null)]
    public void TheWatchdogIsOurs_OrNobodys(string? microseconds, string? pid, double? seconds)
    {
        Dictionary<string, string?> environment = new() { ["WATCHDOG_USEC"] = microseconds, ["WATCHDOG_PID"] = pid };

        var client = new LaunchdClient([], null, environment.GetValueOrDefault);

        Assert.Equal(seconds, client.WatchdogPeriod?.TotalSeconds);
    }

    private NamedDescriptor[] Read()
    {
        NamedDescriptor[] read = InheritedDescriptors.Read(_environment.GetValueOrDefault, _first);
        if (read.Length > 0)
            _placed.ForEach(p => p.SetHandleAsInvalid());
        _placed.AddRange(read.Select(d => d.Descriptor));
        return read;
    }

    private void Set(string variable, string? value)
    {
        if (value is null)
            _ = _environment.Remove(variable);
        else
            _environment[variable] = value;
    }
}
