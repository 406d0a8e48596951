using System.ComponentModel;
using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client.Interop;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Sizes, offsets and constants of our own imports for sockets, files and users, held against the headers of this machine by
/// its compiler.</summary>
public sealed class InteropAbiTests
{
    // Our name, the name in the headers. A head of a longer structure is compared by its offsets only.
    private static readonly (Type Ours, string Theirs, bool IsHead)[] Structures =
    [
        (typeof(Libc.msghdr), "struct msghdr", false), (typeof(Libc.iovec), "struct iovec", false),
            (typeof(Libc.ucred), "struct ucred", false),
        (typeof(Libc.sockaddr_nl), "struct sockaddr_nl", false), (typeof(Libc.sockaddr_vm), "struct sockaddr_vm", false),
        (typeof(Libc.tcp_info_head), "struct tcp_info", true), (typeof(Libc.nlmsghdr), "struct nlmsghdr", false),
        (typeof(Libc.unix_diag_req), "struct unix_diag_req", false), (typeof(Libc.unix_diag_msg), "struct unix_diag_msg", false),
        (typeof(Libc.rtattr), "struct rtattr", false), (typeof(Libc.unix_diag_rqlen), "struct unix_diag_rqlen", false),
        (typeof(Libc.inet_diag_sockid), "struct inet_diag_sockid", false),
        (typeof(Libc.inet_diag_req_v2), "struct inet_diag_req_v2", false),
        (typeof(Libc.inet_diag_msg), "struct inet_diag_msg", false), (typeof(Libc.unix_diag_vfs), "struct unix_diag_vfs", false),
        (typeof(Libc.vsock_diag_req), "struct vsock_diag_req", false), (typeof(Libc.vsock_diag_msg), "struct vsock_diag_msg", false),
        (typeof(Libc.passwd), "struct passwd", false), (typeof(Libc.group), "struct group", false),
        (typeof(Libc.tm_time), "struct tm", false),
    ];

    // Bit fields and private padding have no offset in C or another name in each version of the headers.
    private static readonly string[] WithoutOffset = ["tcpi_wscale", "tcpi_delivery", "svm_flags", "svm_zero", "pad", "nl_pad"];

    // Newer than the headers of a stable distribution: checked where the header has them.
    private static readonly string[] Constants =
    [
        nameof(Libc.AF_UNIX), nameof(Libc.AF_INET), nameof(Libc.AF_INET6), nameof(Libc.AF_NETLINK), nameof(Libc.AF_VSOCK),
        nameof(Libc.SOCK_STREAM), nameof(Libc.SOCK_DGRAM), nameof(Libc.SOCK_SEQPACKET), nameof(Libc.SO_PASSPIDFD),
            nameof(Libc.SO_PEERPIDFD),
        nameof(Libc.SO_PASSRIGHTS), nameof(Libc.IPPROTO_MPTCP), nameof(Libc.TCP_LISTEN), nameof(Libc.NETLINK_SOCK_DIAG),
        nameof(Libc.SOCK_DIAG_BY_FAMILY), nameof(Libc.NLMSG_ERROR), nameof(Libc.NLM_F_REQUEST), nameof(Libc.UDIAG_SHOW_VFS),
        nameof(Libc.UDIAG_SHOW_RQLEN), nameof(Libc.UNIX_DIAG_VFS), nameof(Libc.UNIX_DIAG_RQLEN), nameof(Libc.VMADDR_CID_ANY),
            nameof(Libc.MFD_NOEXEC_SEAL),
        nameof(Libc.NLM_F_DUMP), nameof(Libc.NLMSG_DONE), nameof(Libc.UDIAG_SHOW_NAME),
        nameof(Libc.UNIX_DIAG_NAME), nameof(Libc.TCP_ESTABLISHED),
        nameof(Libc.TCP_SYN_RECV), nameof(Libc.TCP_FIN_WAIT1), nameof(Libc.TCP_FIN_WAIT2),
        nameof(Libc.TCP_CLOSE_WAIT), nameof(Libc.TCP_LAST_ACK),
        nameof(Libc.TCP_CLOSING),
    ];

    [FactWhenTool("gcc")]
    public void StructuresAndConstantsAreThoseOfTheHeaders() => Compile(Program(wrongBy: 0), expectedToCompile: true);

    [FactWhenTool("gcc")]
    public void AWrongConstantWouldBeFound() => Compile(Program(wrongBy: 1), expectedToCompile: false);

    private static string Program(int wrongBy)
    {
        var text = new StringBuilder("""
            #define _GNU_SOURCE
            #include <stddef.h>
            #include <time.h>
            #include <sys/socket.h>
            #include <sys/uio.h>
            #include <sys/mman.h>
            #include <sys/syscall.h>
            #include <netinet/in.h>
            #include <netinet/tcp.h>
            #include <linux/netlink.h>
            #include <linux/rtnetlink.h>
            #include <linux/sock_diag.h>
            #include <linux/unix_diag.h>
            #include <linux/inet_diag.h>
            #include <linux/vm_sockets_diag.h>
            #include <linux/vm_sockets.h>
            #include <pwd.h>
            #include <grp.h>

            """);
        foreach ((Type ours, string theirs, bool isHead) in Structures)
        {
            if (!isHead)
                text.AppendLine($"_Static_assert(sizeof({theirs}) == {SizeOf(ours)}, \"{theirs}\");");
            foreach (FieldInfo field in ours.GetFields().Where(field => !WithoutOffset.Contains(field.Name)))
            {
                nint offset = Marshal.OffsetOf(ours, field.Name);
                text.AppendLine($"_Static_assert(offsetof({theirs}, {field.Name}) == {offset}, \"{theirs}.{field.Name}\");");
            }
        }
        foreach (string name in Constants)
        {
            object value = typeof(Libc).GetField(name)!.GetRawConstantValue()!;
            // Enumerators are no macros: those of the diag headers are always there, only macros may be too new.
            bool mayBeMissing = name.StartsWith("SO_", StringComparison.Ordinal) || name.StartsWith("MFD_", StringComparison.Ordinal);
            text.AppendLine(mayBeMissing ? $"#ifdef {name}" : "");
        {
            long expected = Convert.ToInt64(value) + (name == nameof(Libc.AF_VSOCK) ? wrongBy : 0);
            text.AppendLine($"_Static_assert((unsigned){name} == (unsigned){expected}, \"{name}\");");
        }
            text.AppendLine(mayBeMissing ? "#endif" : "");
        }
        text.AppendLine($"_Static_assert(SYS_mq_open == {Libc.SYS_mq_open} && SYS_mq_unlink == {Libc.SYS_mq_unlink}, \"mq\");");
        text.AppendLine(
            $"_Static_assert(CMSG_SPACE(4) == {ControlMessage.Space(4)} && CMSG_LEN(4) == {ControlMessage.Length(4)}, \"cmsg\");");
        text.AppendLine(
            $"_Static_assert(CMSG_SPACE(12) == {ControlMessage.Space(12)} && CMSG_LEN(12) == {ControlMessage.Length(12)}, \"cmsg\");");
        text.AppendLine(
            $"_Static_assert(SCM_RIGHTS == {ControlMessage.SCM_RIGHTS} && SCM_CREDENTIALS == {ControlMessage.SCM_CREDENTIALS}, \"scm\");");
        return text.ToString();
    }

    private static int SizeOf(Type type) => Marshal.SizeOf(type);

    private static void Compile(string program, bool expectedToCompile)
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory["abi.c"], program);
        var start = new ProcessStartInfo("gcc", ["-std=gnu11", "-fsyntax-only", directory["abi.c"]]) { RedirectStandardError = true };
        using Process compiler = Process.Start(start) ?? throw new Win32Exception("gcc does not start");
        string errors = compiler.StandardError.ReadToEnd();
        compiler.WaitForExit();
        Assert.True(compiler.ExitCode == 0 == expectedToCompile, expectedToCompile ? errors : "a wrong value was not found");
        if (!expectedToCompile)
            Assert.Contains("AF_VSOCK", errors);
    }
}
