#!/usr/bin/env bash
# connect(2) on a Unix socket that is O_NONBLOCK waits all the same: the kernel looks the path up inside the call, and where a file system takes its time
# to answer, so does connect. Here a FUSE server needs a second to say that there is no such file. Neither poll(2) nor a time-out of the socket helps, so
# an event loop that connects by a path on a network file system stands still. Needs python3, unshare and /dev/fuse; exits with 1 when the kernel
# behaves otherwise.
# In launchd-cs: paths of Unix sockets are looked up by threads (docs/adr/0027).
set -euo pipefail
echo "kernel $(uname -r), $(python3 --version)"
if ! [ -c /dev/fuse ] || ! unshare --map-root-user --mount true 2>/dev/null; then
    echo "needs /dev/fuse and a mount namespace: not tried"
    exit 0
fi
folder=$(mktemp -d)
trap 'rmdir "$folder/slow" "$folder"' EXIT
mkdir "$folder/slow"
unshare --map-root-user --mount python3 - "$folder/slow" <<'PY'
import ctypes, errno, os, socket, struct, sys, threading, time

DELAY, LOOKUP, INIT = 1.0, 1, 26
where = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40755,user_id=0,group_id=0" % device
if libc.mount(b"slow", where.encode(), b"fuse", 0, options):
    print("mount:", os.strerror(ctypes.get_errno()), "- not tried")
    sys.exit(0)

def serve():
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        _, code, unique = struct.unpack_from("<IIQ", request)
        if code == INIT:
            body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0, *[0] * 7)
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
        elif code == LOOKUP:
            time.sleep(DELAY)
            os.write(device, struct.pack("<IiQ", 16, -errno.ENOENT, unique))
        else:
            os.write(device, struct.pack("<IiQ", 16, -errno.ENOSYS, unique))

threading.Thread(target=serve, daemon=True).start()
client = socket.socket(socket.AF_UNIX)
client.setblocking(False)
began = time.monotonic()
try:
    client.connect(where + "/peer")
    result = "connected"
except OSError as refused:
    result = errno.errorcode[refused.errno]
took = time.monotonic() - began
libc.umount2(where.encode(), 2)
print(f"a non-blocking connect came back with {result} after {took:.1f} s, of which the file system took {DELAY:.1f} s")
sys.exit(0 if result == "ENOENT" and took >= DELAY * 0.9 else 1)
PY
