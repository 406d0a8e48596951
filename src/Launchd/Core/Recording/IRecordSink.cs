namespace Launchd.Core.Recording;

/// <summary>What a record is about. From 16 on the numbers are the host's, of which the core knows nothing.</summary>
internal enum RecordKind : byte
{
    /// <summary>The configuration without its services, and the layout of all records; its number is 0.</summary>
    Configuration = 1,

    /// <summary>One definition of a service, by a number that stays its own.</summary>
    Definition = 2,

    /// <summary>What belongs to no service; its number is 0.</summary>
    Frame = 3,

    /// <summary>One service by its number in the state.</summary>
    Service = 4,

    /// <summary>What the last step had the host do; its number is 0. Not there: nothing.</summary>
    Effects = 5,

    /// <summary>One order that waits for its outcome, by the number of the request.</summary>
    Request = 6,

    /// <summary>
    /// What a step has settled of an order since its record was written, by a number that is higher than that of each before it.
    /// </summary>
    Settlement = 7,
}

/// <summary>What a record is of; a later one of the same key takes the place of an earlier one.</summary>
internal readonly record struct RecordKey(RecordKind Kind, long Number);

/// <summary>Takes the records of one step after the other. Between two calls of <see cref="Commit"/> no key comes twice.</summary>
internal interface IRecordSink
{
    /// <param name="key">What the record is of.</param>
    /// <param name="content">Valid until the call returns.</param>
    public void Put(RecordKey key, ReadOnlySpan<byte> content);

    /// <summary>There is no record of that key any more.</summary>
    public void Remove(RecordKey key);

    /// <summary>The step is whole: a reader sees all of it or nothing.</summary>
    public void Commit();
}
