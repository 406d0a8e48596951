using Launchd.Host.Listeners;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class LockOwnerTests
{
    [Theory]
    [InlineData("", 0, 0)]
    [InlineData("12", 12, 0)]
    [InlineData("12\n", 12, 0)]
    [InlineData("12\n7\n", 12, 7)]
    [InlineData("12\n-7\n", 12, 0)]
    [InlineData("-1\n7\n", 0, 0)]
    [InlineData("12\nseven", 12, 0)]
    [InlineData("99999999999\n7\n", 0, 0)]
    public void WhateverStandsInTheLockIsUnderstood(string text, int supervisor, int keeper) =>
        Assert.Equal(new LockOwner(supervisor, keeper), LockOwner.Parse(System.Text.Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void WhatIsWrittenIsRead()
    {
        Assert.Equal(new LockOwner(12, 7), LockOwner.Parse(new LockOwner(12, 7).Text));
        Assert.Equal(new LockOwner(12, 0), LockOwner.Parse(new LockOwner(12, 0).Text));
        LockOwner marked = new(12, 0) { Mark = new string('a', 32) };
        Assert.Equal(marked, LockOwner.Parse(marked.Text));
        Assert.Null(LockOwner.Parse("12\n7\nno mark\n"u8).Mark);
    }

    [Fact]
    public void OnlyADeadSupervisorOfALivingKeeperIsForsaken()
    {
        int own = Environment.ProcessId;

        Assert.True(new LockOwner(int.MaxValue, own).IsForsaken);
        Assert.False(new LockOwner(own, own).IsForsaken);
        Assert.False(new LockOwner(int.MaxValue, int.MaxValue).IsForsaken);
        Assert.False(new LockOwner(int.MaxValue, 0).IsForsaken);
    }
}
