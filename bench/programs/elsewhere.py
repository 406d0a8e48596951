#!/usr/bin/env python3
"""What programs do to their listener, and how soon it is told. Erlang shortens its queue, Bun and Deno take no notice of it, and sshd lets it go
when it reloads.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/programs/elsewhere.py [--cases erlang,bun,deno,sshd]

Those that are too large for the tests are fetched (erlang-base of Debian 12, pinned packages of npm) into a folder that is removed at the end. Each
runs behind a socket of the supervisor, in a network of its own because three of them listen on all addresses. Printed: what the supervisor told, and
how long after the program said that it is ready. Needs root, apt-get, npm, ip, and sshd of Debian 12. Exit code 1: something was not told.
"""
import argparse
import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import Supervisor, free_port, verdict  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--cases", default="erlang,bun,deno,sshd")
parser.add_argument("--fetched", help=argparse.SUPPRESS)
args = parser.parse_args()

ERLANG = "erlang-base"
NPM = {"bun": "bun@1.4.5", "deno": "deno@2.9.6"}
ACCEPTING = ('{ok, L} = gen_tcp:listen(0, [{fd, 3}, {active, false}]), io:format(\\"begun~n\\"), '
             'F = fun(F) -> {ok, S} = gen_tcp:accept(L), gen_tcp:send(S, \\"served\\"), gen_tcp:close(S), F(F) end, F(F).')


def fetch(name, folder):
    began = time.monotonic()
    folder.mkdir()
    what = NPM.get(name)
    if name == "erlang":
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", ERLANG], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        package = next(folder.glob("*.deb"))
        size, what = package.stat().st_size, package.name
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    else:
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, what], check=True, stdout=subprocess.DEVNULL)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
    print(f"{what}: fetched in {time.monotonic() - began:.0f} s, {size >> 20} MiB", flush=True)


def erlang(folder, _):
    root = folder / "root/usr/lib/erlang"
    binaries = next(root.glob("erts-*/bin"))
    return f'''
command = ["{binaries}/erlexec", "-noshell", "-eval", "{ACCEPTING}"]
environment = {{ ROOTDIR = "{root}", BINDIR = "{binaries}", EMU = "beam", PROGNAME = "erl", HOME = "{folder}" }}
''', "listener-healed"


def bun(folder, scratch):
    (scratch / "web.js").write_text('Bun.serve({ fd: 3, fetch: () => new Response("served") }); console.log("begun");')
    return f'command = ["{folder}/node_modules/.bin/bun", "run", "{scratch}/web.js"]\nenvironment = {{ HOME = "{folder}" }}\n', "listens-elsewhere"


def deno(folder, scratch):
    (scratch / "web.ts").write_text('Deno.serve({ fd: 3, onListen: () => console.log("begun") } as any, () => new Response("served"));')
    return (f'command = ["{folder}/node_modules/.bin/deno", "run", "--allow-all", "--no-check", "{scratch}/web.ts"]\n'
            f'environment = {{ HOME = "{folder}", DENO_NO_UPDATE_CHECK = "1" }}\n'), "listens-elsewhere"


def sshd(_, scratch):
    os.makedirs("/run/sshd", exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / "key"], check=True)
    return (f'command = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-o", "HostKey={scratch}/key", "-o", "PidFile=none", "-o", "UsePAM=no"]\n'
            'ready = "notify"\nreload = { signal = "SIGHUP" }\n'), "listens-elsewhere"


CASES = {"erlang": erlang, "bun": bun, "deno": deno, "sshd": sshd}


def events(supervisor, kind, wanted=lambda event: True, count=1):
    """Those of a kind that are wanted, with their times; waits until there are so many. Empty: there were fewer after 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        all_events = [json.loads(line) for line in supervisor.verb("events", "--json").stdout.splitlines()]
        found = [e for e in all_events if e["event"] == kind and wanted(e)]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    return []


def at(event):
    return datetime.datetime.fromisoformat(event["time"]).timestamp()


def run(name):
    with Supervisor("elsewhere", start=False) as supervisor:
        service, expected = CASES[name](pathlib.Path(args.fetched) / name, supervisor.folder)
        port = free_port()
        supervisor.run(f'[sockets.web]\nlisten = "tcp://127.0.0.1:{port}"\n[services.web]\nsockets = ["web"]\n{service}'
                       + ("" if "ready =" in service else 'ready = { output = "begun" }\n'))
        ready = events(supervisor, "ready")
        if ready and name == "sshd":
            time.sleep(2.5)
            supervisor.verb("reload-service", "web")
            ready = events(supervisor, "notified", lambda e: "READY=1" in e["lines"], count=2)[1:]
        told = events(supervisor, expected) if ready else []
        if not told:
            supervisor.keeps = True
            return [f"{name}: " + ("no " + expected if ready else "not ready: " + (supervisor.folder / "log").read_text()[-500:])]
        what = told[0].get("fault") or told[0].get("address")
        print(f"{name}: {expected} {1000 * (at(told[0]) - at(ready[0])):.0f} ms after it was ready: {what}", flush=True)
        with socket.create_connection(("127.0.0.1", port)) as client:
            if name == "erlang":
                return [] if client.recv(64) == b"served" else [f"{name}: not served"]
            asked = time.time()
            told = events(supervisor, "listener-not-accepted")
            if not told:
                return [f"{name}: no listener-not-accepted"]
            print(f"{name}: listener-not-accepted {at(told[0]) - asked:.1f} s after a client came, {told[0]['waiting']} waiting", flush=True)
    return []


if args.fetched is None:
    with tempfile.TemporaryDirectory(prefix="launchd-fetched-") as fetched:
        os.chmod(fetched, 0o755)
        for case in args.cases.split(","):
            if case != "sshd":
                fetch(case, pathlib.Path(fetched) / case)
        inside = [sys.executable, os.path.abspath(__file__), "--cases", args.cases, "--fetched", fetched]
        sys.exit(subprocess.run(["unshare", "--net", "--", "/bin/sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside]).returncode)
sys.exit(verdict("elsewhere", [problem for case in args.cases.split(",") for problem in run(case)], args.cases))
