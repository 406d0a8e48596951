#!/usr/bin/env bash
# An end of a Unix socketpair(2) with SO_PASSCRED gets an abstract address of its own as soon as it sends something, so getpeername(2) of the other end
# has a name from then on, as if it had connected to a listener. Whether a connected Unix socket is one of a pair cannot be told by the absence
# of names. Needs python3 and Linux; exits with 1 when the kernel behaves otherwise.
# In launchd-cs: an instance channel is told from a client of a seqpacket listener by more than its names.
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
python3 - <<'PY'
import socket, sys

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
before = ours.getpeername()
theirs.send(b"x")
after = ours.getpeername()
shape = "none" if not after else f"abstract, {len(after) - 1} characters" if after[:1] == b"\0" else "a path"
print(f"name of the peer: before it sent {'none' if not before else 'some'}, afterwards {shape}")
sys.exit(0 if not before and after[:1] == b"\0" and len(after) == 6 else 1)
PY
