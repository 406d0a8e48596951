using Launchd.Client;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>What one birth needs beside the instance: who gets which number, and what is closed afterwards.</summary>
internal sealed class Birth : IDisposable
{
    private const int FirstPassed = 3;

    private readonly List<FileDescriptor> _owned = [];
    private readonly List<(int Source, string? Key)> _passed = [];
    private readonly List<DescriptorMapping> _extra = [];
    private int _input, _output, _error;

    public List<string> Names { get; } = [];
    public List<string> PidVariables { get; } = [];

    public void Own(FileDescriptor taken) => _owned.Add(taken);

    public void Standard(int input, int output, int error) => (_input, _output, _error) = (input, output, error);

    public void Pass(string name, int source, string? key)
    {
        Names.Add(name);
        _passed.Add((source, key));
    }

    public void PassAt(int target, int source) => _extra.Add(new DescriptorMapping(source, target));

    /// <summary>Where the child finds its end of the channel; 0: it has none.</summary>
    public int ChannelNumber { get; private set; }

    /// <summary>The instance's channel: directly behind what is passed, or behind a descriptor that was asked for just there.</summary>
    public bool OpenChannel(RunningInstance instance, out Errno refused)
    {
        if (!ChannelPair.TryOpen(out FileDescriptor ours, out FileDescriptor theirs, out refused))
            return false;
        instance.ChannelEnd = ours;
        Own(theirs);
        ChannelNumber = FirstPassed + _passed.Count;
        while (_extra.Exists(e => e.Target == ChannelNumber))
            ChannelNumber++;
        PassAt(ChannelNumber, theirs.Number);
        return true;
    }

    /// <summary>The number under which the child gets a socket or file, by its key or by its name; 0 for standard input.</summary>
    public int NumberOf(string name)
    {
        for (int i = 0; i < _passed.Count; i++)
        {
            if (_passed[i].Key == name)
                return FirstPassed + i;
        }
        return Names.IndexOf(name) is >= 0 and int at ? FirstPassed + at : 0;
    }

    /// <summary>All of them, targets in ascending order.</summary>
    public DescriptorMapping[] Mappings()
    {
        DescriptorMapping[] all = new DescriptorMapping[FirstPassed + _passed.Count + _extra.Count];
        (all[0], all[1], all[2]) = (new(_input, 0), new(_output, 1), new(_error, 2));
        int count = FirstPassed;
        foreach ((int source, _) in _passed)
            all[count] = new DescriptorMapping(source, count++);
        foreach (DescriptorMapping extra in _extra)
        {
            int at = count++;
            for (; all[at - 1].Target > extra.Target; at--)
                all[at] = all[at - 1];
            all[at] = extra;
        }
        return all;
    }

    public void Dispose()
    {
        foreach (FileDescriptor descriptor in _owned)
            descriptor.Dispose();
    }
}
