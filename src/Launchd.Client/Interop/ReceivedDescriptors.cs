namespace Launchd.Client.Interop;

/// <summary>
/// The descriptors that came with one message, in the sender's order. Owns those that were not taken: dispose it when done. Its default
/// value is empty and allocates nothing.
/// </summary>
internal readonly struct ReceivedDescriptors : IDisposable
{
    private readonly FileDescriptor?[]? _owners;

    private ReceivedDescriptors(FileDescriptor?[] ownersTaken)
    {
        _owners = ownersTaken;
    }

    /// <summary>How many came, taken ones included.</summary>
    public int Count => _owners?.Length ?? 0;

    /// <summary>Borrows one; null when it was taken.</summary>
    public FileDescriptor? this[int index] =>
        _owners is { } owners ? owners[index] : throw new ArgumentOutOfRangeException(nameof(index));

    /// <summary>Gives one away: the caller owns it from now on.</summary>
    public FileDescriptor Take(int index)
    {
        FileDescriptor taken = this[index] ?? throw new InvalidOperationException($"descriptor {index} of this message was taken before");
        _owners![index] = null;
        return taken;
    }

    /// <summary>The same list with more at its end; the former value must not be used any more.</summary>
    public ReceivedDescriptors With(ReadOnlySpan<FileDescriptor> moreTaken) =>
        moreTaken.IsEmpty ? this : new ReceivedDescriptors([.. _owners ?? [], .. moreTaken]);

    /// <summary>Leaves closing the descriptors that were not taken yet to <paramref name="closer"/>.</summary>
    public void CloseBy(IDescriptorCloser closer)
    {
        foreach (FileDescriptor? owner in _owners ?? [])
            owner?.CloseBy(closer);
    }

    /// <summary>Closes what was not taken.</summary>
    public void Dispose()
    {
        if (_owners is null)
            return;
        foreach (FileDescriptor? owner in _owners)
            owner?.Dispose();
        Array.Clear(_owners);
    }
}
