#!/usr/bin/env bash
# waitid(2) with WEXITED alone also tells of children that only stop, if they had themselves traced by their parent (PTRACE_TRACEME): CLD_TRAPPED.
# A supervisor that takes whatever waitid(WEXITED) reports for an end starts such a program again while it lives. Needs python3 and Linux; exits
# with 1 when the kernel behaves otherwise.
# In launchd-cs: only CLD_EXITED, CLD_KILLED and CLD_DUMPED are ends (docs/adr/0048).
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
python3 - <<'PY'
import ctypes, os, signal, sys

CLD_TRAPPED, PTRACE_TRACEME, PTRACE_CONT = 4, 0, 7
libc = ctypes.CDLL(None, use_errno=True)
ready, told = os.pipe()
child = os.fork()
if child == 0:
    libc.ptrace(PTRACE_TRACEME, 0, 0, 0)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    os.write(told, b"x")
    while True:
        signal.pause()
os.read(ready, 1)
os.kill(child, signal.SIGUSR1)
seen = os.waitid(os.P_ALL, 0, os.WEXITED)
state = open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()[0]
print(f"waitid(P_ALL, WEXITED): pid is the child: {seen.si_pid == child}, si_code {seen.si_code}, si_status {seen.si_status}; its state is '{state}'")
libc.ptrace(PTRACE_CONT, child, 0, signal.SIGKILL)
os.waitpid(child, 0)
sys.exit(0 if seen.si_code == CLD_TRAPPED and state == "t" else 1)
PY
