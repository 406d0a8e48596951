#!/usr/bin/env bash
# A process that has ended and was not reaped yet exists: kill(2) finds it, /proc/PID/stat shows it as a zombie, /proc/PID/cmdline opens and is empty.
# /proc/PID/environ, which has lost its memory in the same way, is another matter: open(2) itself fails with ESRCH, "No such process". Who takes ESRCH
# from a file of /proc for "it is gone, and its number is free" is wrong here; so is whoever takes it for "it had no such variable", because a process
# between its last instruction and its end is seen so as well, and it may still have children. Needs python3; exits with 1 when the kernel behaves
# otherwise (others give an empty file).
# In launchd-cs: such a process is known by its children's environments, or looked at again (src/Launchd/Host/Instances/Orphans.cs).
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
python3 - <<'PY'
import errno, os, sys

child = os.fork()
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

def look(name):
    try:
        with open(f"/proc/{child}/{name}", "rb") as file:
            return f"{len(file.read())} bytes"
    except OSError as refused:
        return errno.errorcode[refused.errno]

os.kill(child, 0)
state = open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()[0]
seen = {name: look(name) for name in ("cmdline", "environ", "maps", "mem")}
print(f"state {state}, kill(2) finds it;", ", ".join(f"{name}: {what}" for name, what in seen.items()))
os.waitpid(child, 0)
sys.exit(0 if state == "Z" and seen["cmdline"] == "0 bytes" and seen["environ"] == "ESRCH" else 1)
PY
