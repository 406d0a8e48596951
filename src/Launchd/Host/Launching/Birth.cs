using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Linux.Calls;
using Launchd.Linux.Sockets;
using Launchd.Linux.Spawning;

namespace Launchd.Host.Launching;

/// <summary>
/// What one birth needs beside the instance: which descriptor the child gets under which number, what is opened for the child first, and
/// what is closed afterwards. The loop makes it and gives it to the thread that carries the birth out.
/// </summary>
internal sealed class Birth : IDisposable
{
    private const int FirstPassed = 3;

    private readonly List<FileDescriptor> _owned = [];
    private readonly List<FileDescriptor> _borrowed = [];
    private readonly List<(int Source, string? Key)> _passed = [];
    private readonly List<DescriptorMapping> _extra = [];
    private readonly List<(string WaitsFor, Action Work)> _errands = [];
    private readonly List<Opening> _openings = [];
    private int _input, _output, _error;

    public List<string> Names { get; } = [];
    public List<string> PidVariables { get; } = [];

    /// <summary>Paths of listeners that the child sees as mount points.</summary>
    public List<PinnedPath> PinnedPaths { get; } = [];

    /// <summary>Descriptor 0 is the child's controlling terminal.</summary>
    public bool HasTerminal { get; set; }

    public void Own(FileDescriptor taken) => _owned.Add(taken);

    /// <summary>
    /// Returns the number of a descriptor. The descriptor stays open until the birth is over, even if its owner closes it before.
    /// </summary>
    public int Borrow(FileDescriptor descriptor)
    {
        bool isHeld = false;
        descriptor.DangerousAddRef(ref isHeld);
        if (isHeld)
            _borrowed.Add(descriptor);
        return descriptor.Number;
    }

    public void Input(int number) => _input = number;

    public void Output(int number) => _output = number;

    public void Error(int number) => _error = number;

    public void Pass(string name, FileDescriptor borrowed, string? key)
    {
        Names.Add(name);
        _passed.Add((Borrow(borrowed), key));
    }

    /// <summary>Passes a file that is opened only when the birth is carried out.</summary>
    public void PassOpened(string key, Func<OpenResult<FileDescriptor>> open)
    {
        Names.Add(key);
        _passed.Add((-1, key));
        int place = _passed.Count - 1;
        Open("file", $"file \"{key}\":", open, number => _passed[place] = (number, key));
    }

    /// <summary>
    /// Has something done when the birth is carried out, before anything is opened: the work may wait for somebody who has a lock.
    /// </summary>
    /// <param name="waitsFor">What the work may wait for, in words.</param>
    /// <param name="work">On the thread of the birth.</param>
    public void Before(string waitsFor, Action work) => _errands.Add((waitsFor, work));

    /// <summary>Has something opened when the birth is carried out: not by the loop, because a file system may never answer.</summary>
    /// <param name="stage">The stage that a failure names.</param>
    /// <param name="subject">The words with which the text of a failure begins.</param>
    /// <param name="open">On the thread of the birth. What it opens is closed after it.</param>
    /// <param name="use">Gets the number of what was opened.</param>
    public void Open(string stage, string subject, Func<OpenResult<FileDescriptor>> open, Action<int> use) =>
        _openings.Add(new Opening(stage, subject, open, use));

    public void PassAt(int target, int source) => _extra.Add(new DescriptorMapping(source, target));

    /// <summary>Where the child finds its end of the channel; 0: it has none.</summary>
    public int ChannelNumber { get; private set; }

    /// <summary>Opens the instance's channel. The child's end gets the first free number behind the descriptors that are passed.</summary>
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

    /// <summary>
    /// On the thread of the birth: does the errands, and opens what is to be opened. Null: everything is
    /// open; else what could not be opened, and why.
    /// </summary>
    /// <param name="waits">Told, in words, what the thread is about to wait for.</param>
    public (string Stage, Errno Errno, string Text)? OpenAll(Action<string> waits)
    {
        foreach ((string waitsFor, Action work) in _errands)
        {
            waits(waitsFor);
            work();
        }
        foreach (Opening opening in _openings)
        {
            waits(opening.Subject.TrimEnd(':'));
            if (!opening.Open().TryGet(out FileDescriptor? opened, out OpenFailure? failure))
                return (opening.Stage, failure.Errno, $"{opening.Subject} {failure}");
            Own(opened);
            opening.Use(opened.Number);
        }
        return null;
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

    /// <summary>All descriptors of the child, in ascending order of their numbers there.</summary>
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
        _owned.Clear();
        foreach (FileDescriptor descriptor in _borrowed)
            descriptor.DangerousRelease();
        _borrowed.Clear();
    }

    private sealed record Opening(string Stage, string Subject, Func<OpenResult<FileDescriptor>> Open, Action<int> Use);
}
