#!/usr/bin/env bash
# ptrace(2): "If the tracer dies, all tracees are automatically detached and restarted". What becomes of the SIGTRAP for which a tracee of
# PTRACE_TRACEME stands still after its execve(2) depends on whether the tracer had collected that stop: wait(2) takes the signal out of the
# tracee. A tracer that dies after its wait leaves a program that goes on; one that dies before it, or has looked with WNOWAIT only, leaves
# the SIGTRAP, and the new program is killed by it before its first instruction. Seen with Linux 6.18.44.
# Needs python3. Exits with 1 when the kernel behaves otherwise.
# In launchd-cs: only tests trace (docs/testing.md, LAUNCHD_AUDIT_BIRTHS); those that kill supervisors do not.
set -euo pipefail
command -v python3 > /dev/null || { echo "needs python3"; exit 2; }
uname -sr
python3 - <<'PYTHON'
import ctypes, os, signal

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_CHILD_SUBREAPER, PTRACE_TRACEME = 36, 0
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_of_tracee(flags):
    """How the tracee ends whose tracer sees the stop by waitid(2) with these flags, and kills itself."""
    told, tells = os.pipe()
    tracer = os.fork()
    if tracer == 0:
        tracee = os.fork()
        if tracee == 0:
            libc.ptrace(PTRACE_TRACEME, 0, 0, 0)
            os.execv("/bin/true", ["true"])
        stop = os.waitid(os.P_PID, tracee, flags)
        assert stop.si_status == signal.SIGTRAP, stop
        os.write(tells, str(tracee).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(tracer, 0)
    return os.waitstatus_to_exitcode(os.waitpid(int(os.read(told, 20)), 0)[1])


collected, seen = end_of_tracee(os.WSTOPPED), end_of_tracee(os.WSTOPPED | os.WNOWAIT)
print(f"the tracer collected the stop and died: the program ended with {collected}")
print(f"the tracer saw it with WNOWAIT and died: the program ended with {seen}")
raise SystemExit(0 if (collected, seen) == (0, -signal.SIGTRAP) else 1)
PYTHON
