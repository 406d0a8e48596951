#!/usr/bin/env python3
"""Overlapping restarts of real programs that spoil the Unix socket that they were given, under clients that never pause.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/programs/overlap.py [--restarts 10] [--clients 8] [--cases php-fpm,twisted]

php-fpm removes the path at its end, Twisted removes it and shuts the socket down for every holder. Each request is one connection, tried once.
Each case is run with pin_path and without it. Printed: requests, failures by kind, and the longest time in which requests failed. Needs the Debian
packages php8.2-fpm and python3-twisted; a case whose program is missing is skipped. Exit code 1: a request failed with pin_path, or requests failed for
longer than 50 ms without it.
"""
import argparse
import collections
import json
import pathlib
import shutil
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import Supervisor, verdict  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--restarts", type=int, default=10)
parser.add_argument("--clients", type=int, default=8)
parser.add_argument("--cases", default="php-fpm,twisted")
args = parser.parse_args()


def record(kind, content):
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def pair(name, value):
    return bytes([len(name), len(value)]) + name + value


def fastcgi(folder):
    parameters = b"".join(pair(k.encode(), v.encode()) for k, v in {
        "SCRIPT_FILENAME": f"{folder}/hello.php", "SCRIPT_NAME": "/hello.php", "REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}.items())
    return record(1, struct.pack("!HB5x", 1, 0)) + record(4, parameters) + record(4, b"") + record(5, b"")


def ask(path, request, expected):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(request)
        answer = b""
        while got := client.recv(1 << 16):
            answer += got
    if expected not in answer:
        raise ValueError(f"answer of {len(answer)} bytes: {answer[:80]!r}")


def php(supervisor):
    folder = supervisor.folder
    (folder / "hello.php").write_text('<?php echo "php says ", 6 * 7;')
    (folder / "fpm.conf").write_text(
        f"[global]\nerror_log = /dev/stderr\nprocess_control_timeout = 5\n[www]\nuser = nobody\ngroup = nogroup\nlisten = {folder}/web.sock\n"
        "pm = static\npm.max_children = 4\n")
    folder.chmod(0o755)
    return "php-fpm8.2", fastcgi(folder), b"php says 42", f'''
command = ["php-fpm8.2", "--nodaemonize", "--fpm-config", "{folder}/fpm.conf"]
environment = {{ FPM_SOCKETS = "{folder}/web.sock=${{fd:web}}" }}
ready = "notify"
stop_signal = "SIGQUIT"
'''


def twisted(supervisor):
    folder = supervisor.folder
    (folder / "www").mkdir()
    (folder / "www/hello").write_text("hello from twisted")
    return "twistd3", b"GET /hello HTTP/1.0\r\n\r\n", b"hello from twisted", f'''
command = ["twistd3", "-n", "--pidfile=", "web", "--listen", "systemd:domain=UNIX:index=0", "--path", "{folder}/www"]
ready = {{ output = "Starting factory" }}
'''


CASES = {"php-fpm": php, "twisted": twisted}


class Clients:
    def __init__(self, count, path, request, expected):
        self.over = threading.Event()
        self.asked, self.failed = [0] * count, []
        self.threads = [threading.Thread(target=self.run, args=(n, path, request, expected)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number, path, request, expected):
        while not self.over.is_set():
            try:
                ask(path, request, expected)
            except (OSError, ValueError) as failure:
                self.failed.append((time.time(), type(failure).__name__ + (": " + str(failure) if isinstance(failure, ValueError) else "")))
            self.asked[number] += 1

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def longest(moments):
    """Failures that are less than 50 ms apart count as one gap."""
    longest_gap, began, last = 0.0, None, None
    for moment in sorted(moments):
        if last is None or moment - last > 0.05:
            began = moment
        last = moment
        longest_gap = max(longest_gap, 1000 * (last - began))
    return longest_gap


def run(name, is_pinned):
    with Supervisor("programs", start=False) as supervisor:
        program, request, expected, service = CASES[name](supervisor)
        if shutil.which(program) is None:
            print(f"{name}: skipped: needs {program}")
            return []
        path = f"{supervisor.folder}/web.sock"
        supervisor.run(f'[sockets.web]\nlisten = "unix:{path}"\nmode = "0666"\npin_path = {"true" if is_pinned else "false"}\n'
                       f'[services.web]\nsockets = ["web"]\nupdate = "overlap"\nrollout = {{ prove = "0s" }}\n{service}')
        ask(path, request, expected)
        clients = Clients(args.clients, path, request, expected)
        for _ in range(args.restarts):
            answer = supervisor.call("Restart", services=["web"])
            if "error" in answer:
                print(f"{name}: {answer}")
            time.sleep(0.3)
        time.sleep(1)
        clients.end()
        events = [json.loads(line) for line in supervisor.verb("events", "--json").stdout.splitlines()]
        kinds = collections.Counter(kind for _, kind in clients.failed)
        healed = collections.Counter((e["fault"], e["remedy"]) for e in events if e["event"] == "listener-healed")
        gap = longest(at for at, _ in clients.failed)
        case = name + (" pinned" if is_pinned else "")
        print(f"{case}: restarts={args.restarts} ends={sum(e['event'] == 'exited' for e in events)} requests={sum(clients.asked)} "
              f"failed={len(clients.failed)} {dict(kinds)} longest_gap={gap:.1f} ms healed={dict(healed)}", flush=True)
        return [f"{case}: {len(clients.failed)} requests failed, for up to {gap:.0f} ms"] if gap > 50 or (is_pinned and clients.failed) else []


wrong = [problem for name in args.cases.split(",") for pinned in (True, False) for problem in run(name, pinned)]
sys.exit(verdict("overlap", wrong, args.cases))
