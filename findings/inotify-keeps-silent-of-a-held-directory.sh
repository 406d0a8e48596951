#!/usr/bin/env bash
# A watched directory that is removed while some process, also the one that watches, has it open tells its watch nothing at all: neither
# IN_DELETE_SELF nor IN_IGNORED, and no IN_ATTRIB for the lost links, as a file would. All of it comes when the last descriptor is closed. Who holds a
# directory open in order to be sure of it so never hears of its end. Needs python3 and Linux; exits with 1 when the kernel behaves otherwise.
# In launchd-cs: the runtime directory is held open, and its loss is seen by what was in it (IN_DELETE of the entries), not by its own end.
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
python3 - <<'PY'
import ctypes, os, select, struct, sys, tempfile

libc = ctypes.CDLL(None, use_errno=True)
ALL, DELETE_SELF, IGNORED, ATTRIB = 0xFFF, 0x400, 0x8000, 0x4
with tempfile.TemporaryDirectory() as scratch:
    path = os.path.join(scratch, "watched")
    os.mkdir(path)
    events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert events >= 0 and libc.inotify_add_watch(events, path.encode(), ALL) >= 0
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def told():
        seen = 0
        # One event at the least when the last descriptor is closed; before, the queue is simply empty.
        while select.select([events], [], [], 0.3)[0]:
            data, at = os.read(events, 4096), 0
            while at < len(data):
                _, mask, _, length = struct.unpack_from("iIII", data, at)
                seen |= mask
                at += 16 + length
        return seen

    told()
    os.rmdir(path)
    while_held = told()
    os.close(held)
    afterwards = told()
print(f"removed while it is open: {while_held:#x}; when it is closed: {afterwards:#x}")
silent = not while_held & (DELETE_SELF | IGNORED | ATTRIB)
sys.exit(0 if silent and afterwards & DELETE_SELF and afterwards & IGNORED else 1)
PY
