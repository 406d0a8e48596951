using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client;
using Launchd.Host.Provisioning;
using Launchd.Linux.Spawning;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>The kernel has one word for many causes: which of them it was is found out at the file.</summary>
public sealed class ProgramFaultTests : IDisposable
{
    private readonly string _place = Directory.CreateTempSubdirectory("launchd-program-").FullName;

    public void Dispose() => Directory.Delete(_place, recursive: true);

    [Theory]
    [InlineData("#!/bin/sh\r\nexit\r\n", "ENOENT", "as in files of Windows, so that the interpreter in its first line is \"/bin/sh\\r\"")]
    [InlineData("#! /bin/sh\r", "ENOENT", "is \"/bin/sh\\r\"")]
    [InlineData("#!/opt/none/python\nx\n", "ENOENT", "its interpreter /opt/none/python, which its first line names, is not there")]
    [InlineData("#! /opt/none/python -u\nx\n", "ENOENT", "its interpreter /opt/none/python,")]
    [InlineData("#!/opt/none/python", "ENOENT", "its interpreter /opt/none/python,")]
    [InlineData("#!none/python\nx\n", "ENOENT", "an interpreter is named by its whole path")]
    [InlineData("#!/etc/passwd\nx\n", "EACCES", "its interpreter /etc/passwd is of no use: it is not executable")]
    [InlineData("#!/etc\nx\n", "EACCES", "its interpreter /etc is of no use: it is a directory")]
    [InlineData("#!\nx\n", "ENOEXEC", "names no interpreter")]
    [InlineData("sleep 1\n", "ENOEXEC", "a script needs a first line such as #!/bin/sh")]
    [InlineData("\n#!/bin/sh\nx\n", "ENOEXEC", "its #! does not stand at its very beginning")]
    [InlineData("\uFEFF#!/bin/sh\nx\n", "ENOEXEC", "a byte-order mark stands before the #!")]
    [InlineData("", "ENOEXEC", "it is empty")]
    [InlineData("MZ\u0090", "ENOEXEC", "a program for Windows")]
    [InlineData("\u007fELF", "ENOEXEC", "it is cut off")]
    public void AFileThatIsThere(string content, string errno, string expected)
    {
        ProgramFile.Fault fault = ProgramFile.FaultOf(Executable("program", content), user: null, wasRefused: true)!.Value;

        Assert.Equal(errno, NameOf(fault.Errno));
        Assert.Contains(expected, fault.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void AFirstLineThatIsTooLong()
    {
        string path = Executable("program", "#!/" + new string('a', 300) + "\n");

        string text = ProgramFile.FaultOf(path, user: null, wasRefused: true)!.Value.Text;
        Assert.Contains("longer than the 256 bytes", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("#!/bin/sh -e\r\nexit\r\n")]
    [InlineData("#!/usr/bin/env sh\r\n")]
    public void AnInterpreterThatIsGivenACarriageReturnIsExecuted(string content) =>
        Assert.Null(ProgramFile.FaultOf(Executable("program", content), user: null, wasRefused: true));

    [Theory]
    [InlineData(ulong.MaxValue - 30)]
    [InlineData(ulong.MaxValue)]
    [InlineData(4097UL)]
    [InlineData(65UL)]
    public void ATableThatLiesNowhereNamesNoLoader(ulong table)
    {
        byte[] program = ProgramFor("/lib/none\0");
        BinaryPrimitives.WriteUInt64LittleEndian(program.AsSpan(32), table);

        Assert.Null(FaultOf(program));
    }

    [Fact]
    public void ALoaderEndsAtItsFirstNul()
    {
        Assert.Contains("its loader /lib/none is not there", FaultOf(ProgramFor("/lib/none\0/tail\0"))!, StringComparison.Ordinal);
        Assert.Null(FaultOf(ProgramFor("\0/tail\0")));
    }

    // elf(5): the header, one entry that names a loader, and the name.
    private static byte[] ProgramFor(string loader)
    {
        byte[] program = [.. new byte[64 + 56], .. Encoding.UTF8.GetBytes(loader)];
        Span<byte> at = program;
        "\u007fELF\u0002\u0001\u0001"u8.CopyTo(at);
        bool isArm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;
        BinaryPrimitives.WriteUInt16LittleEndian(at[18..], isArm ? (ushort)183 : (ushort)62);
        BinaryPrimitives.WriteUInt64LittleEndian(at[32..], 64);
        BinaryPrimitives.WriteUInt16LittleEndian(at[54..], 56);
        BinaryPrimitives.WriteUInt16LittleEndian(at[56..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(at[64..], 3);
        BinaryPrimitives.WriteUInt64LittleEndian(at[(64 + 8)..], 64 + 56);
        BinaryPrimitives.WriteUInt64LittleEndian(at[(64 + 32)..], (ulong)loader.Length);
        return program;
    }

    private string? FaultOf(byte[] content)
    {
        string path = Path.Combine(_place, "program");
        File.WriteAllBytes(path, content);
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
        return ProgramFile.FaultOf(path, user: null, wasRefused: true)?.Text;
    }

    [Fact]
    public void ALoaderThatIsMissing_AndAnotherArchitecture()
    {
        byte[] program = File.ReadAllBytes("/bin/sh");
        int loader = program.AsSpan().IndexOf("/lib"u8);
        Assert.True(loader > 0);
        program[loader + 1] = (byte)'L';
        Assert.Contains("its loader /Lib", FaultOf(program)!, StringComparison.Ordinal);
        program[loader + 1] = (byte)'l';
        program[18] = 243;
        Assert.Contains("it is a program for riscv, and this machine is", FaultOf(program)!, StringComparison.Ordinal);
    }

    [Fact]
    public void ModesAndDirectories()
    {
        string path = Executable("program", "#!/bin/sh\n");
        Assert.Null(ProgramFile.FaultOf(path, user: null, wasRefused: true));
        Launchd.Linux.Paths.Credentials nobody = new(65534, 65534, [65534]);
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_100);
        Assert.Contains("user 65534 may not execute it: its mode is 0754", Text(nobody), StringComparison.Ordinal);
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(_place, (UnixFileMode)0b111_000_000);
        Assert.Contains($"user 65534 may not enter the directory {_place}", Text(nobody), StringComparison.Ordinal);
        File.SetUnixFileMode(path, (UnixFileMode)0b110_100_100);
        Assert.Contains("it is not executable: chmod +x", Text(null), StringComparison.Ordinal);

        string Text(Launchd.Linux.Paths.Credentials? user) => ProgramFile.FaultOf(path, user, wasRefused: true)!.Value.Text;
    }

    [Theory]
    [InlineData("sleep 1000", "a string of their own, [\"sleep\", \"1000\"]")]
    [InlineData("PLACE/web --port 80 --all x", "[\"PLACE/web\", \"--port\", \"80\", \"--all\", …]")]
    [InlineData("PLACE/cd /srv && ./web", "write [\"sh\", \"-c\", \"…\"]")]
    [InlineData("cd /srv; web", "write [\"sh\", \"-c\", \"…\"]")]
    [InlineData("web | tee log", "write [\"sh\", \"-c\", \"…\"]")]
    [InlineData("PLACE/~/bin/web", "~ is not expanded")]
    [InlineData("PLACE/~www/bin/web", "~www is not expanded")]
    [InlineData("PLACE/$HOME/web", "$ is not expanded")]
    [InlineData("nosuchprogram", "it is in no directory of PATH, /usr/bin:/bin")]
    [InlineData("here", "there is one in the working directory, where programs are not looked for: write PLACE/here")]
    [InlineData("PLACE/none/below/web", "there is no directory PLACE/none")]
    [InlineData("PLACE/here/web", "PLACE/here is a regular file")]
    [InlineData("PLACE/link", "it is a link to PLACE/nowhere, where there is nothing")]
    [InlineData("/elsewhere/here", "there is PLACE/here in the working directory, but paths in a file start at the directory of the file")]
    public void AProgramThatIsNotThere(string program, string expected)
    {
        _ = Executable("here", "#!/bin/sh\n");
        _ = File.CreateSymbolicLink(Path.Combine(_place, "link"), Path.Combine(_place, "nowhere"));
        string name = program.Replace("PLACE", _place, StringComparison.Ordinal);

        string? found = ProgramFault.Find(name, ProgramSearch.CandidatesOf(name, "/usr/bin:/bin"), _place, user: null);

        Assert.Contains(expected.Replace("PLACE", _place, StringComparison.Ordinal), found, StringComparison.Ordinal);
    }

    [Fact]
    public void AProgramThatIsThere()
    {
        Assert.Null(ProgramFault.Find("sh", ProgramSearch.CandidatesOf("sh", "/none:/bin"), _place, user: null));
        _ = Executable("my program", "#!/bin/sh\n");
        Assert.Null(ProgramFault.Find($"{_place}/my program", [$"{_place}/my program"], _place, user: null));
    }

    [Theory]
    [InlineData(200_000, 0, "the variable BIG has 200005 bytes, and one may have 131072: pass it in a file")]
    [InlineData(10, 140_000, "argument 1 has 140001 bytes, and one may have 131072: pass it in a file")]
    public void WhatIsTooLongIsNamed(int ofVariable, int ofArgument, string expected) =>
        Assert.Equal(
            $"{Errno.E2BIG.Text} ({expected})",
            ProgramFault.Explain(
                Request(["web", new string('a', ofArgument)], ["A=1", "BIG=" + new string('b', ofVariable)]), Errno.E2BIG));

    [Fact]
    public void WhatIsTooLongIsFoundBeforehand()
    {
        string most = new('x', 131_071);
        Assert.Null(ArgumentSpace.TooLongOf(["web", most], [("V", most[..^2])]));
        Assert.StartsWith("argument 1 has 131073 bytes", ArgumentSpace.TooLongOf(["web", most + "x"], []), StringComparison.Ordinal);
        Assert.StartsWith("the variable V has 131074 bytes", ArgumentSpace.TooLongOf(["web"], [("V", most)]), StringComparison.Ordinal);
    }

    [Fact]
    public void TheSumIsNamed()
    {
        string[] environment = [.. Enumerable.Range(0, 70).Select(i => $"V{i}={new string('x', 100_000)}")];

        string text = ProgramFault.Explain(Request(["web"], environment), Errno.E2BIG);

        Assert.Contains("its arguments and its environment have 70", text, StringComparison.Ordinal);
        Assert.Contains("bytes together, and may have", text, StringComparison.Ordinal);
    }

    private static SpawnRequest Request(string[] arguments, string[] environment) => new()
    {
        Arguments = arguments,
        Candidates = ["/bin/web"],
        Environment = environment,
        Descriptors = [],
        WorkingDirectory = "/",
    };

    private string Executable(string name, string content)
    {
        string path = Path.Combine(_place, name);
        File.WriteAllText(path, content, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
        return path;
    }

    private static string NameOf(Errno errno) =>
        errno == Errno.ENOENT ? "ENOENT" : errno == Errno.EACCES ? "EACCES" : errno == Errno.ENOEXEC ? "ENOEXEC" : errno.Text;
}
