using System.Formats.Cbor;
using Launchd.Core.Instances;
using Launchd.Host.Keeping;
using Launchd.Linux.Processes;
using Launchd.Model;
using Launchd.Tests.Simulation;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class InstanceRecordTests
{
    private static readonly InstanceRecord Whole = new()
    {
        Mark = "0123456789abcdef", Pid = 4711, Identity = new ProcessIdentity(ulong.MaxValue, 9), Group = 4711, FirstGroup = 4710,
        IsInGroup = true, Ended = new ExitStatus(0, 11, true), TreeSignal = 15, IsKilled = true, Access = NotifyAccess.All,
        AwaitsLine = true, NotifyPath = "/run/x/notify/7", NotifyWriter = uint.MaxValue, IsHeardOut = true,
        Reaper = 1,
    };

    [Fact]
    public void WhatIsWrittenIsRead()
    {
        Assert.Equal(Whole, InstanceRecord.TryRead(Written(Whole)));
        InstanceRecord least = new() { Mark = "a" };
        Assert.Equal(least, InstanceRecord.TryRead(Written(least)));
        InstanceRecord ended = least with { Ended = new ExitStatus(0) };
        Assert.Equal(ended, InstanceRecord.TryRead(Written(ended)));
        // None of its properties has its default, so none was forgotten.
        Assert.All(typeof(InstanceRecord).GetProperties(), p =>
            Assert.NotEqual(p.GetValue(Whole), p.PropertyType.IsValueType ? Activator.CreateInstance(p.PropertyType) : null));
    }

    [Fact]
    public void WhatADifferentVersionAddsIsPassedOver()
    {
        CborWriter writer = new(CborConformanceMode.Lax);
        writer.WriteStartMap(null);
        writer.WriteInt32(1);
        writer.WriteTextString("mark");
        writer.WriteInt32(999);
        writer.WriteStartArray(null);
        writer.WriteTextString("something new");
        writer.WriteEndArray();
        writer.WriteEndMap();

        Assert.Equal(new InstanceRecord { Mark = "mark" }, InstanceRecord.TryRead(writer.Encode()));
    }

    [Fact]
    public void NoBytesThrow()
    {
        byte[] whole = Written(Whole);
        SeededRandom random = new(1);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] damaged = whole[..random.Between(0, whole.Length)];
            for (int change = 0; damaged.Length > 0 && change < random.Between(1, 4); change++)
                damaged[random.Between(0, damaged.Length - 1)] = (byte)random.Between(0, 255);
            if (InstanceRecord.TryRead(damaged) is { } read)
                Assert.True(read is { Mark.Length: > 0, Pid: >= 0, Group: >= 0, TreeSignal: >= 0 and <= 64 });
        }
    }

    private static byte[] Written(InstanceRecord record)
    {
        CborWriter writer = new(CborConformanceMode.Lax);
        record.Write(writer);
        return writer.Encode();
    }
}
