using Launchd.Core.Recording;
using Xunit;

namespace Launchd.Tests.Core.Recording;

/// <summary>Keeps the records of whole steps, as the host's memory does.</summary>
internal sealed class MemorySink : IRecordSink
{
    private readonly Dictionary<RecordKey, byte[]?> _step = [];

    public Dictionary<RecordKey, ReadOnlyMemory<byte>> Records { get; } = [];

    public long Bytes { get; private set; }

    public void Put(RecordKey key, ReadOnlySpan<byte> content)
    {
        Bytes += content.Length;
        Assert.True(_step.TryAdd(key, content.ToArray()), $"{key} twice in one step");
    }

    public void Remove(RecordKey key) => Assert.True(_step.TryAdd(key, null), $"{key} twice in one step");

    public void Commit()
    {
        foreach ((RecordKey key, byte[]? content) in _step)
        {
            if (content is not null)
                Records[key] = content;
            else
                Assert.True(Records.Remove(key), $"{key} is removed and was not there");
        }
        _step.Clear();
    }
}
