using System.Diagnostics;

namespace Launchd.Fuzz;

/// <summary>
/// Tries mutations of a corpus on one target for a while, and says what it found. The same seed tries the same inputs in the same order.
/// </summary>
internal sealed class Session(string name, Action<byte[]> target, string corpus, int seed)
{
    /// <summary>A trial that takes longer is a finding: the longest input takes a thousandth of it.</summary>
    private const int MostSeconds = 10;
    private const int MostFindings = 20;
    private const int LookEvery = 256;

    private byte[] _input = [];
    private long _count;
    private int _findings;

    /// <summary>False: something was found.</summary>
    public bool Run(TimeSpan time)
    {
        byte[][] seeds = Mutator.ReadCorpus(corpus);
        Mutator mutator = new(seed, seeds);
        using Timer watch = new(_ => Look(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        long began = Stopwatch.GetTimestamp();
        long most = 0;
        foreach (byte[] input in seeds)
            Try(input, ref most);
        while (_findings < MostFindings && (_count % LookEvery != 0 || Stopwatch.GetElapsedTime(began) < time))
            Try(mutator.Next(), ref most);
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Console.WriteLine(
            $"{name}: {_count} inputs in {seconds:0} s, seed {seed}, at most {most} bytes allocated for one, {_findings} findings");
        return _findings == 0;
    }

    private void Try(byte[] input, ref long most)
    {
        Volatile.Write(ref _input, input);
        _ = Interlocked.Increment(ref _count);
        Trial trial = Trial.Of(target, input);
        most = Math.Max(most, trial.AllocatedBytes);
        if (trial.Problem is { } problem)
            Report(input, problem);
    }

    private void Report(byte[] input, string problem)
    {
        _findings++;
        string file = $"finding-{name}-{seed}-{_count}";
        File.WriteAllBytes(file, input);
        Console.WriteLine($"{Path.GetFullPath(file)}\n{problem}");
    }

    private long _lastCount;
    private int _quietSeconds;

    private void Look()
    {
        long count = Interlocked.Read(ref _count);
        _quietSeconds = count == _lastCount ? _quietSeconds + 1 : 0;
        _lastCount = count;
        if (_quietSeconds < MostSeconds)
            return;
        Report(Volatile.Read(ref _input), $"takes longer than {MostSeconds} s");
        Environment.Exit(1);
    }
}
