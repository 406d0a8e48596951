using System.Text;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Model;
using Launchd.Tests.Simulation;
using Xunit;

namespace Launchd.Tests.Core;

public sealed class NotificationTests
{
    [Theory]
    [InlineData("")]
    [InlineData("\n\n")]
    [InlineData("READY")]
    [InlineData("=1")]
    [InlineData("READY=1\0STATUS=x")]
    [InlineData("BARRIER=1\nREADY=1")]
    public void WhatIsNoNotification_IsNull(string text) => Assert.Null(Notification.Parse(Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void OneTrailingNul_IsTolerated() => Assert.True(A.Message("READY=1\0").IsReady);

    [Fact]
    public void AllKeysOfOneMessage_AreRead()
    {
        Notification read = A.Message(
            "READY=1\nSTATUS=up\nWATCHDOG=1\nWATCHDOG_USEC=1500000\n"
            + "EXTEND_TIMEOUT_USEC=2000000\nMAINPID=42\nFDSTORE=1\nFDNAME=db\nFDPOLL=0\nNOTIFYACCESS=all\nX=y\n");

        Assert.True(read.IsReady && read.IsWatchdogPing && read.IsStore && !read.IsPolled && !read.IsStopping && !read.IsReloading);
        Assert.Equal("up", read.Status);
        Assert.Equal(TimeSpan.FromSeconds(1.5), read.WatchdogPeriod);
        Assert.Equal(TimeSpan.FromSeconds(2), read.ExtendTimeout);
        Assert.Equal(42, read.MainPid);
        Assert.Equal("db", read.DescriptorName);
        Assert.Equal(NotifyAccess.All, read.Access);
        Assert.Equal(11, read.Lines.Length);
    }

    [Theory]
    [InlineData("READY=0")]
    [InlineData("READY=2")]
    [InlineData("WATCHDOG=2")]
    [InlineData("WATCHDOG_USEC=-1")]
    [InlineData("WATCHDOG_USEC=99999999999999999999")]
    [InlineData("MAINPID=1")]
    [InlineData("MAINPID=x")]
    [InlineData("FDNAME=a:b")]
    [InlineData("NOTIFYACCESS=some")]
    public void ValuesThatMakeNoSense_AreIgnored(string text)
    {
        Notification read = A.Message(text);

        Assert.False(read.IsReady || read.IsWatchdogPing || read.IsWatchdogTrigger);
        Assert.Null(read.WatchdogPeriod);
        Assert.Null(read.MainPid);
        Assert.Null(read.DescriptorName);
        Assert.Null(read.Access);
    }

    [Fact]
    public void ALongStatus_IsCut() => Assert.Equal(Limits.StatusTextLength, A.Message("STATUS=" + new string('x', 4000)).Status!.Length);

    [Fact]
    public void RandomBytes_NeverThrow()
    {
        SeededRandom random = new(1);
        string[] words = ["READY", "STATUS", "=", "1", "\n", "\0", "WATCHDOG_USEC", "FDNAME", "BARRIER",
            "MAINPID", "9999999999999999999", "é", "-", "trigger"];
        byte[] buffer = new byte[64];
        int read = 0;
        for (int i = 0; i < 100_000; i++)
        {
            StringBuilder text = new();
            for (int word = random.Between(0, 8); word > 0; word--)
                text.Append(random.Pick<string>(words));
            byte[] datagram = Encoding.UTF8.GetBytes(text.ToString());
            if (random.Chance(50))
            {
                for (int b = 0; b < buffer.Length; b++)
                    buffer[b] = unchecked((byte)random.Next());
                datagram = [.. datagram, .. buffer.AsSpan(0, random.Between(0, buffer.Length))];
            }
            if (Notification.Parse(datagram) is not { } message)
                continue;
            read++;
            Assert.All(message.Lines, line => Assert.Contains('=', line));
            Assert.True(message.WatchdogPeriod is not { } period || period >= TimeSpan.Zero);
        }
        Assert.True(read > 1000, $"only {read} were notifications");
    }
}
