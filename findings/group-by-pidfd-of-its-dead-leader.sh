#!/usr/bin/env bash
# A pidfd goes on to mean its process's group after that process has ended and was reaped: pidfd_send_signal(2) with PIDFD_SIGNAL_PROCESS_GROUP reaches
# whoever is left in the group, while the same call without the flag says ESRCH. The number of a group that may be somebody else's by then is not
# needed. Needs python3 and Linux 6.9; exits with 1 when the kernel behaves otherwise.
# In launchd-cs: how what a service left in its process group is signalled (docs/adr/0049).
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
python3 - <<'PY'
import ctypes, errno, os, platform, signal, sys

if tuple(int(n) for n in platform.release().split("-")[0].split(".")[:2]) < (6, 9):
    print("needs Linux 6.9: not tried")
    sys.exit(0)
PIDFD_SEND_SIGNAL, GROUP = 424, 4
libc = ctypes.CDLL(None, use_errno=True)

def send(pidfd, number, flags):
    return 0 if libc.syscall(PIDFD_SEND_SIGNAL, pidfd, number, None, flags) == 0 else ctypes.get_errno()

# What is left of the group must become ours, to be seen to end.
libc.prctl(36, 1, 0, 0, 0)
reading, writing = os.pipe()
leader = os.fork()
if leader == 0:
    os.setsid()
    member = os.fork()
    if member == 0:
        while True:
            signal.pause()
    os.write(writing, str(member).encode())
    signal.pause()
member = int(os.read(reading, 20))
pidfd = os.pidfd_open(leader)
os.kill(leader, signal.SIGKILL)
os.waitpid(leader, 0)
alone, group = send(pidfd, 0, 0), send(pidfd, signal.SIGTERM, GROUP)
pid, status = os.waitpid(member, 0)
ended = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
empty = send(pidfd, 0, GROUP)
name = lambda number: errno.errorcode.get(number, "done")
print(f"after the leader was reaped: to the process {name(alone)}, to its group {name(group)}, the member ended by SIGTERM: {ended}, then {name(empty)}")
sys.exit(0 if alone == errno.ESRCH and group == 0 and ended and empty == errno.ESRCH else 1)
PY
