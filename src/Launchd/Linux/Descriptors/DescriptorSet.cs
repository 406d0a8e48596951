using Launchd.Client;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// A set of borrowed descriptors that tells quickly whether a new descriptor has the same open file description as one of them. Descriptors
/// of one file share an identity, as do all event counters and the like; among these the set keeps the order that kcmp(2) gives to open
/// file descriptions, so that a search needs only a logarithmic number of calls.
/// </summary>
internal sealed class DescriptorSet
{
    // Where the kernel has no kcmp(2), descriptors are compared one by one, and no more than so many.
    private const int MostCompared = 64;

    private readonly Dictionary<DescriptorIdentity, List<FileDescriptor>> _byIdentity = [];

    /// <summary>The descriptor in the set with the same open file description; null: there is none, or the kernel does not tell.</summary>
    public FileDescriptor? Find(DescriptorIdentity identity, FileDescriptor wanted)
    {
        if (!_byIdentity.TryGetValue(identity, out List<FileDescriptor>? same))
            return null;
        int at = PlaceOf(same, wanted, out bool isThere);
        return isThere ? same[at] : null;
    }

    /// <summary>False: a descriptor with the same open file description is in the set already.</summary>
    public bool Add(DescriptorIdentity identity, FileDescriptor descriptor)
    {
        if (!_byIdentity.TryGetValue(identity, out List<FileDescriptor>? same))
            _byIdentity.Add(identity, same = []);
        int at = PlaceOf(same, descriptor, out bool isThere);
        if (!isThere)
            same.Insert(at, descriptor);
        return !isThere;
    }

    public void Remove(DescriptorIdentity identity, FileDescriptor descriptor)
    {
        if (_byIdentity.TryGetValue(identity, out List<FileDescriptor>? same) && same.Remove(descriptor) && same.Count == 0)
            _byIdentity.Remove(identity);
    }

    private static int PlaceOf(List<FileDescriptor> sorted, FileDescriptor wanted, out bool isThere)
    {
        int low = 0, high = sorted.Count;
        isThere = false;
        while (low < high)
        {
            int middle = (low + high) / 2;
            int order = OpenDescription.Compare(wanted, sorted[middle]);
            if (order is < 0 or > 2)
                return FindUnsorted(sorted, wanted, out isThere);
            if (order == 0)
            {
                isThere = true;
                return middle;
            }
            if (order == 1)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }

    private static int FindUnsorted(List<FileDescriptor> present, FileDescriptor wanted, out bool isThere)
    {
        int first = Math.Max(0, present.Count - MostCompared);
        int at = present.FindIndex(first, p => OpenDescription.AreSame(p, wanted));
        isThere = at >= 0;
        return isThere ? at : present.Count;
    }
}
