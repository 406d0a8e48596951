#!/usr/bin/env bash
# socket.send_fds of Python takes flags and an address, and hands neither on: descriptors that are sent "to" an address go to the peer to which the
# socket is connected, and without one the call fails with ENOTCONN. So the obvious call for sd_notify's FDSTORE=1, with NOTIFY_SOCKET for the
# address of an unconnected socket, cannot work, and nothing in its signature or its help says why.
# Needs python3 (Debian 12: python3.11 3.11.2-6+deb12u6). Exits with 1 when Python behaves otherwise.
# In launchd-cs: docs/protocol.md says to connect first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v /usr/bin/python3 || command -v python3) || { echo "no python3"; exit 2; }
cd "$folder"
"$python" - <<'PYTHON'
import errno, os, socket, sys
print("Python", sys.version.split()[0])

def named(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.setblocking(False)
    return s

first, second = named("first"), named("second")
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    socket.send_fds(sender, [b"x"], [0], 0, "second")
    refused = 0
except OSError as error:
    refused = error.errno
print("unconnected, with an address:", errno.errorcode.get(refused, "sent"))

sender.connect("first")
socket.send_fds(sender, [b"x"], [0], 0, "second")
try:
    data, descriptors, _, _ = socket.recv_fds(first, 1, 1)
    got = "the connected peer, with %d descriptor" % len(descriptors)
except BlockingIOError:
    got = "the address"
print("connected to another, with an address: it reaches", got)
sys.exit(0 if refused == errno.ENOTCONN and got.startswith("the connected peer") else 1)
PYTHON
