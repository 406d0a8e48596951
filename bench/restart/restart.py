#!/usr/bin/env python3
"""Restarts under load, with a ledger: every request is sent once and accounted for. Nothing may be refused, reset, timed out or wrong.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/restart/restart.py [--restarts 20] [--clients 64] [--seconds 10]

Two loads, each once in peace and once with restarts that overlap: a connection for each request, and connections kept alive.
A client never tries again. Exit code 1 if a single request is missing.
"""
import argparse
import asyncio
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 30.0  # seconds until a request counts as timed out


class Ledger:
    def __init__(self):
        self.counts = collections.Counter()
        self.latencies = []
        self.generations = collections.Counter()
        self.next = 0

    def number(self):
        self.next += 1
        return self.next

    def close(self):
        if sum(self.counts.values()) != self.next:
            raise SystemExit(f"the ledger does not balance: {self.next} sent, {dict(self.counts)}")

    def bad(self):
        return {k: v for k, v in self.counts.items() if k != "answered"}

    def quantile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


async def request(ledger, reader, writer, keep):
    number = ledger.number()
    began = time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT):
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            close = "" if keep else "Connection: close\r\n"
            writer.write(f"GET /{number} HTTP/1.1\r\nHost: x\r\n{close}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            body = (await reader.readexactly(length)).decode().split()
    except ConnectionRefusedError:
        ledger.counts["refused"] += 1
        return None, None
    except (ConnectionError, asyncio.IncompleteReadError):
        ledger.counts["reset"] += 1
        return None, None
    except TimeoutError:
        ledger.counts["timed out"] += 1
        return None, None
    ledger.counts["answered" if body[0] == f"/{number}" else "wrong"] += 1
    ledger.latencies.append(time.perf_counter() - began)
    ledger.generations[body[2]] += 1
    if not keep or b"Connection: close" in head:
        writer.close()
        return None, None
    return reader, writer


async def client(ledger, keep, done):
    reader = writer = None
    while not done.is_set():
        reader, writer = await request(ledger, reader, writer, keep)
        if writer is not None:
            await asyncio.sleep(0)
    if writer is not None:
        writer.close()


async def restart(count, errors):
    for _ in range(count):
        verb = await asyncio.create_subprocess_exec(*LAUNCHD, "restart", "web", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        said, _ = await verb.communicate()
        if verb.returncode != 0:
            errors.append(said.decode())
    return count


async def run(keep, clients, seconds, restarts):
    ledger, done, errors = Ledger(), asyncio.Event(), []
    load = [asyncio.ensure_future(client(ledger, keep, done)) for _ in range(clients)]
    began = time.perf_counter()
    if restarts:
        await restart(restarts, errors)
    else:
        await asyncio.sleep(seconds)
    done.set()
    await asyncio.gather(*load)
    ledger.close()
    elapsed = time.perf_counter() - began
    return {
        "load": "kept alive" if keep else "a connection each",
        "restarts": restarts,
        "failed_restarts": len(errors),
        "requests": ledger.next,
        "answered": ledger.counts["answered"],
        "missing": ledger.bad(),
        "instances": len(ledger.generations),
        "per_second": round(ledger.next / elapsed),
        "p50_ms": round(ledger.quantile(0.5), 2),
        "p99_ms": round(ledger.quantile(0.99), 2),
        "longest_ms": round(max(ledger.latencies, default=0) * 1000, 1),
    }


def main():
    global PORT, ENVIRONMENT, LAUNCHD
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    LAUNCHD = os.environ.get("LAUNCHD_CS", str(HERE.parent.parent / "artifacts/native/launchd-cs")).split()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="launchd-restart-"))
    config = folder / "restart.toml"
    config.write_text(
        f'supervisor.runtime_directory = "run"\nsupervisor.log_level = "warning"\n[sockets.http]\nlisten = "tcp://127.0.0.1:0"\n'
        f'[services.web]\ncommand = ["{sys.executable}", "{HERE / "server.py"}"]\nsockets = ["http"]\nready = "notify"\n'
        f'environment = {{ GENERATION = "${{generation}}" }}\nrollout = {{ prove = "200ms" }}\nbackoff = {{ initial = "10ms" }}\n')
    ENVIRONMENT = dict(os.environ, LAUNCHD_RUNTIME_DIRECTORY=str(folder / "run"), NO_COLOR="1")
    supervisor = subprocess.Popen([*LAUNCHD, "run", str(config)], env=ENVIRONMENT)
    try:
        while subprocess.run([*LAUNCHD, "start", "web"], env=ENVIRONMENT, capture_output=True).returncode != 0:
            if supervisor.poll() is not None:
                raise SystemExit("the supervisor ended")
        status = json.loads(subprocess.run([*LAUNCHD, "status", "--json"], env=ENVIRONMENT, capture_output=True, check=True).stdout)
        PORT = int(status["sockets"][0]["address"].rsplit(":", 1)[1])
        results = []
        for keep in (False, True):
            for restarts in (0, options.restarts):
                results.append(asyncio.run(run(keep, options.clients, options.seconds, restarts)))
                print(json.dumps(results[-1]) if options.json else line(results[-1]), flush=True)
    finally:
        supervisor.terminate()
        supervisor.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if any(r["missing"] or r["failed_restarts"] for r in results) else 0


def line(r):
    missing = ", ".join(f"{v} {k}" for k, v in r["missing"].items()) or "none missing"
    return (f'{r["load"]:18} {r["restarts"]:3} restarts ({r["failed_restarts"]} failed)  {r["requests"]:7} requests, {missing}; {r["instances"]} instances; '
            f'{r["per_second"]}/s, p50 {r["p50_ms"]} ms, p99 {r["p99_ms"]} ms, longest {r["longest_ms"]} ms')


if __name__ == "__main__":
    sys.exit(main())
