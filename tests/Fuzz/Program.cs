using System.Globalization;

namespace Launchd.Fuzz;

/// <summary>
/// <c>Fuzz TARGET [--seconds N] [--seed S] [CORPUS]</c> tries mutations of a corpus until the time is over; <c>Fuzz TARGET --replay
/// FILE</c> tries one input. Exit code 0: nothing was found; 1: something was, and its file is named; 64: used wrongly.
/// </summary>
internal static class Program
{
    private const int Found = 1, Usage = 64;

    private static int Main(string[] arguments)
    {
        if (arguments.Length == 0 || !Targets.All.TryGetValue(arguments[0], out Action<byte[]>? target))
        {
            Console.Error.WriteLine("usage: Fuzz TARGET [--seconds N] [--seed S] [CORPUS] | Fuzz TARGET --replay FILE");
            Console.Error.WriteLine($"targets: {string.Join(' ', Targets.All.Keys)}");
            return Usage;
        }
#if SHARPFUZZ
        if (arguments is [_, "--afl"])
        {
            SharpFuzz.Fuzzer.Run((Stream input) =>
            {
                using MemoryStream whole = new();
                input.CopyTo(whole);
                target(whole.ToArray());
            });
            return 0;
        }
#endif
        if (arguments is [_, "--replay", { } file])
        {
            Trial trial = Trial.Of(target, File.ReadAllBytes(file));
            Console.WriteLine($"{trial.Problem ?? "nothing is wrong"} ({trial.AllocatedBytes} bytes allocated)");
            return trial.Problem is null ? 0 : Found;
        }
        int seconds = 60, seed = 1;
        string corpus = Path.Combine("tests", "Fuzz", "Corpus", arguments[0]);
        for (int i = 1; i < arguments.Length; i++)
        {
            if (arguments[i] == "--seconds" && i + 1 < arguments.Length)
                seconds = int.Parse(arguments[++i], CultureInfo.InvariantCulture);
            else if (arguments[i] == "--seed" && i + 1 < arguments.Length)
                seed = int.Parse(arguments[++i], CultureInfo.InvariantCulture);
            else
                corpus = arguments[i];
        }
        return new Session(arguments[0], target, corpus, seed).Run(TimeSpan.FromSeconds(seconds)) ? 0 : Found;
    }
}
