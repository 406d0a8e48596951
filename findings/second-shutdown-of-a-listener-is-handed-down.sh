#!/usr/bin/env bash
# A TCP listener on which shutdown(SHUT_RD) was called can listen(2) again, and then serves as before. If shutdown was called twice before that, the
# second call fails with ENOTCONN, and has an effect all the same: it marks the socket, listen(2) leaves the mark, and every connection that is
# accepted from then on has it too. Its server reads the end of the stream at once, before the client has said anything; if it then answers and
# closes, the client may be reset. Neither poll(2) nor getsockopt(2) tells that the listener is not as it was. connect(2) with AF_UNSPEC, before
# listen, takes the mark away.
# Needs python3 (Debian 12: python3.11 3.11.2-6+deb12u6); seen with Linux 6.18. Exits with 1 when the kernel behaves otherwise.
# In launchd-cs: a shared listener that somebody has shut down is disconnected so before it listens again (ListenerRepair).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v /usr/bin/python3 || command -v python3) || { echo "no python3"; exit 2; }
cd "$folder"
"$python" - <<'PYTHON'
import ctypes, os, socket, sys
print("Linux", os.uname().release)
libc = ctypes.CDLL(None, use_errno=True)

def first_read(shutdowns, disconnects):
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    for _ in range(shutdowns):
        try:
            listener.shutdown(socket.SHUT_RD)
        except OSError as refused:
            print("  shutdown:", refused.strerror)
    if disconnects:
        libc.connect(listener.fileno(), bytes(128), 128)
    try:
        listener.bind(address)
    except OSError:
        pass
    listener.listen()
    client = socket.create_connection(address)
    server, _ = listener.accept()
    server.setblocking(False)
    try:
        return "end of the stream" if server.recv(1) == b"" else "data"
    except BlockingIOError:
        return "nothing yet"
    finally:
        client.close()

seen = []
for shutdowns, disconnects in ((1, False), (2, False), (2, True)):
    seen.append(first_read(shutdowns, disconnects))
    how = " and AF_UNSPEC" if disconnects else ""
    print("%d shutdown%s, listen again: the server of a silent client reads: %s" % (shutdowns, how, seen[-1]))
sys.exit(0 if seen == ["nothing yet", "end of the stream", "nothing yet"] else 1)
PYTHON
