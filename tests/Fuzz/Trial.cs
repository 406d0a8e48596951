namespace Launchd.Fuzz;

/// <summary>One input, tried: what was wrong (null: nothing), and what it made the reader allocate.</summary>
internal readonly record struct Trial(string? Problem, long AllocatedBytes)
{
    /// <summary>What reading may allocate, beside what grows with the input.</summary>
    public const long MostBytes = 4 << 20;

    /// <summary>For each byte of the input: the tree of a configuration is the largest thing that is made of one.</summary>
    public const long MostBytesForOne = 2048;

    public static Trial Of(Action<byte[]> target, byte[] input)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            target(input);
        }
        catch (Exception found)
        {
            return new Trial(found.ToString(), GC.GetAllocatedBytesForCurrentThread() - before);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        bool isTooMuch = allocated > MostBytes + (MostBytesForOne * input.Length);
        return new Trial(isTooMuch ? $"{allocated} bytes are allocated for {input.Length}" : null, allocated);
    }
}
