using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Config.Values;
using Launchd.Control;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>What nobody foresaw is told by what it is, not by the framework's text.</summary>
public sealed class DefectTests
{
    [Fact]
    public void ADefectIsToldByItsKindAndItsPlace()
    {
        Exception thrown = Assert.Throws<KeyNotFoundException>(Fail);

        Assert.Equal($"KeyNotFoundException in Launchd.Tests.Host.DefectTests.{nameof(Fail)}", Defect.Describe(thrown));
    }

    [Fact]
    public void OurOwnSentencesAreShown() =>
        Assert.Equal("mmap a plan: Cannot allocate memory", Defect.Describe(new SystemCallException("mmap", "a plan", Errno.ENOMEM)));

    [Fact]
    public void FailuresOfFilesAreToldInTheWordsOfTheKernel()
    {
        using Support directory = new();
        Exception missing = Assert.Throws<FileNotFoundException>(() => File.ReadAllText(directory["none"]));
        Exception none = Assert.Throws<DirectoryNotFoundException>(() => Directory.GetFiles(directory["none"]));
        Exception tooLong = Assert.ThrowsAny<IOException>(() => File.ReadAllText(directory[new string('x', 300)]));

        Assert.Equal("No such file or directory", FileFault.Text(missing));
        Assert.Equal("No such file or directory", FileFault.Text(none));
        Assert.Equal("File name too long", FileFault.Text(tooLong));
        Assert.Equal("Permission denied", FileFault.Text(new UnauthorizedAccessException("UnauthorizedAccess_IODenied_Path")));
        Assert.Equal("No space left on device", FileFault.Text(new IOException("IO_DiskFull", 28)));
    }

    [Fact]
    public void TheLastResortHasASentenceAndACode()
    {
        (ExitCode code, string sentence) = LastResort.Explain(Assert.Throws<KeyNotFoundException>(Fail));
        Assert.Equal(ExitCode.InternalError, code);
        Assert.StartsWith("internal error, please report it: KeyNotFoundException in ", sentence, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', sentence);

        Assert.Equal(ExitCode.SystemRefused, LastResort.Explain(new InsufficientMemoryException()).Code);
        Assert.Equal((ExitCode.TimedOut, "another"), LastResort.Explain(new StartRefusedException("another", ExitCode.TimedOut)));
    }

    [Theory]
    [InlineData("(", "a ')' is missing")]
    [InlineData("a)", "there is a ')' without its '('")]
    [InlineData("[a", "a ']' is missing")]
    [InlineData("*", "nothing stands before a quantifier")]
    [InlineData("a{3,1}", "reversed")]
    [InlineData("\\", "single backslash")]
    public void WhatIsWrongWithAPatternIsSaidInOurWords(string pattern, string expected)
    {
        var wrong = Assert.Throws<System.Text.RegularExpressions.RegexParseException>(() => LinePattern.Compile(pattern));

        Assert.Contains(expected, LinePattern.Explain(wrong.Error), StringComparison.Ordinal);
    }

    private static void Fail() => _ = new Dictionary<int, int>()[1];

    private sealed class Support : IDisposable
    {
        private readonly string _path = Directory.CreateTempSubdirectory("lcs").FullName;

        public string this[string name] => Path.Combine(_path, name);

        public void Dispose() => Directory.Delete(_path, recursive: true);
    }
}
