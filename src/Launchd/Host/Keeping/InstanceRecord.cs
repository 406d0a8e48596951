using System.Formats.Cbor;
using Launchd.Core.Instances;
using Launchd.Host.Instances;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Keeping;

/// <summary>
/// What the host must know of an instance to go on with it in another process, beside what the core knows and the descriptors that are
/// held for it. Written as a CBOR map with the numbers below as keys; keys that are not known are passed over.
/// </summary>
internal sealed record InstanceRecord
{
    public required string Mark { get; init; }

    /// <summary>0: it is being born.</summary>
    public int Pid { get; init; }
    public ProcessIdentity Identity { get; init; }
    public int Group { get; init; }
    public int FirstGroup { get; init; }
    public bool IsInGroup { get; init; }

    /// <summary>How the main process ended, from the moment that this is known; null: it has not, as far as is known.</summary>
    public ExitStatus? Ended { get; init; }
    public int TreeSignal { get; init; }
    public bool IsKilled { get; init; }
    public NotifyAccess Access { get; init; }
    public bool AwaitsLine { get; init; }
    public string? NotifyPath { get; init; }
    public uint? NotifyWriter { get; init; }

    public bool IsHeardOut { get; init; }

    /// <summary>As <see cref="RunningInstance.Reaper"/>.</summary>
    public int Reaper { get; init; }

    private const int MarkKey = 1, PidKey = 2, InodeKey = 3, StartKey = 4, GroupKey = 5, FirstGroupKey = 6, IsInGroupKey = 7, CodeKey = 8,
        SignalKey = 9, DumpedKey = 10, TreeSignalKey = 11, IsKilledKey = 12, AccessKey = 13, AwaitsLineKey = 14, NotifyPathKey = 15,
        NotifyWriterKey = 16, IsHeardOutKey = 17, ReaperKey = 18;

    public static InstanceRecord Of(RunningInstance instance) => new()
    {
        Mark = instance.Mark,
        Pid = instance.Process?.Pid ?? 0,
        Identity = instance.Identity,
        Group = instance.Group,
        FirstGroup = instance.FirstGroup,
        IsInGroup = instance.IsInGroup,
        Ended = instance.Ended,
        TreeSignal = instance.TreeSignal,
        IsKilled = instance.IsKilled,
        Access = instance.Access,
        AwaitsLine = instance.AwaitsLine || instance.ReadyPipe is not null,
        NotifyPath = instance.Notify?.Path,
        NotifyWriter = instance.Notify?.Writer,
        IsHeardOut = instance.IsHeardOut,
        Reaper = instance.Reaper,
    };

    public void Write(CborWriter writer)
    {
        writer.WriteStartMap(null);
        Text(MarkKey, Mark);
        Number(PidKey, Pid);
        Number(InodeKey, unchecked((long)Identity.Inode));
        Number(StartKey, unchecked((long)Identity.StartTime));
        Number(GroupKey, Group);
        Number(FirstGroupKey, FirstGroup);
        Number(IsInGroupKey, IsInGroup ? 1 : 0);
        if (Ended is { } ended)
        {
            writer.WriteInt32(CodeKey);
            writer.WriteInt32(ended.Code);
            Number(SignalKey, ended.Signal);
            Number(DumpedKey, ended.DumpedCore ? 1 : 0);
        }
        Number(TreeSignalKey, TreeSignal);
        Number(IsKilledKey, IsKilled ? 1 : 0);
        Number(AccessKey, (int)Access);
        Number(AwaitsLineKey, AwaitsLine ? 1 : 0);
        Number(IsHeardOutKey, IsHeardOut ? 1 : 0);
        Number(ReaperKey, Reaper);
        if (NotifyPath is not null)
            Text(NotifyPathKey, NotifyPath);
        if (NotifyWriter is { } user)
        {
            writer.WriteInt32(NotifyWriterKey);
            writer.WriteUInt32(user);
        }
        writer.WriteEndMap();

        void Number(int key, long value)
        {
            if (value == 0)
                return;
            writer.WriteInt32(key);
            writer.WriteInt64(value);
        }

        void Text(int key, string value)
        {
            writer.WriteInt32(key);
            writer.WriteTextString(value);
        }
    }

    /// <summary>Null: it is no such record.</summary>
    public static InstanceRecord? TryRead(ReadOnlyMemory<byte> content)
    {
        try
        {
            return Read(new CborReader(content, CborConformanceMode.Lax));
        }
        catch (Exception unsound) when (unsound is CborContentException or InvalidOperationException or OverflowException)
        {
            return null;
        }
    }

    private static InstanceRecord? Read(CborReader reader)
    {
        InstanceRecord record = new() { Mark = "" };
        (ulong inode, ulong start) = (0, 0);
        (int? code, int signal, bool dumped) = (null, 0, false);
        _ = reader.ReadStartMap();
        while (reader.PeekState() != CborReaderState.EndMap)
        {
            switch (reader.ReadInt32())
            {
                case MarkKey: record = record with { Mark = reader.ReadTextString() }; break;
                case PidKey: record = record with { Pid = reader.ReadInt32() }; break;
                case InodeKey: inode = unchecked((ulong)reader.ReadInt64()); break;
                case StartKey: start = unchecked((ulong)reader.ReadInt64()); break;
                case GroupKey: record = record with { Group = reader.ReadInt32() }; break;
                case FirstGroupKey: record = record with { FirstGroup = reader.ReadInt32() }; break;
                case IsInGroupKey: record = record with { IsInGroup = reader.ReadInt64() != 0 }; break;
                case CodeKey: code = reader.ReadInt32(); break;
                case SignalKey: signal = reader.ReadInt32(); break;
                case DumpedKey: dumped = reader.ReadInt64() != 0; break;
                case TreeSignalKey: record = record with { TreeSignal = reader.ReadInt32() }; break;
                case IsKilledKey: record = record with { IsKilled = reader.ReadInt64() != 0 }; break;
                case AccessKey: record = record with { Access = (NotifyAccess)reader.ReadInt32() }; break;
                case AwaitsLineKey: record = record with { AwaitsLine = reader.ReadInt64() != 0 }; break;
                case NotifyPathKey: record = record with { NotifyPath = reader.ReadTextString() }; break;
                case NotifyWriterKey: record = record with { NotifyWriter = reader.ReadUInt32() }; break;
                case IsHeardOutKey: record = record with { IsHeardOut = reader.ReadInt64() != 0 }; break;
                case ReaperKey: record = record with { Reaper = reader.ReadInt32() }; break;
                default: reader.SkipValue(); break;
            }
        }
        reader.ReadEndMap();
        bool isSound = record is { Mark.Length: > 0, Pid: >= 0, Reaper: >= 0, Group: >= 0, FirstGroup: >= 0, TreeSignal: >= 0 and <= 64 }
            && Enum.IsDefined(record.Access);
        if (!isSound)
            return null;
        return record with
        {
            Identity = new ProcessIdentity(inode, start),
            Ended = code is { } exit ? new ExitStatus(exit, signal, dumped) : null,
        };
    }
}
