using System.Text.RegularExpressions;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>What the native binary asks of a system before its first instruction.</summary>
public sealed partial class BinaryTests
{
    /// <summary>Of Ubuntu 22.04; RHEL 9 has the same.</summary>
    private static readonly Version OldestLibc = new(2, 34);

    [NeedsNativeFact("objdump")]
    public async Task TheBinaryStartsOnTheOldestLibcThatIsPromised()
    {
        await using Command dump = Command.Start(["objdump", "-T", Repository.LaunchdCommand[0]]);

        Assert.Equal(0, await dump.Exit());
        string[] symbols = [.. dump.Output.All().Where(line => LibcVersion().IsMatch(line))];
        Assert.NotEmpty(symbols);
        Assert.DoesNotContain(symbols, line => Version.Parse(LibcVersion().Match(line).Groups[1].Value) > OldestLibc);
    }

    [GeneratedRegex(@"GLIBC_(\d+\.\d+)")]
    private static partial Regex LibcVersion();
}
