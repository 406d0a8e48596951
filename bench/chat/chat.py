#!/usr/bin/env python3
"""Clients of samples/chat who stay connected through restarts, with a ledger of every line that each of them gets.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/chat/chat.py [--server dotnet|python] [--clients 50] [--restarts 10]

Nobody connects twice. Some lines are begun before a restart and ended after it, some clients do not read while it lasts and are told more
than the kernel takes. Every fifth successor is killed while it proves itself (rolled back); every seventh is stopped, gets its turn, and
is killed then, so that the old one has to wait for the next. A disconnect, a line that is lost, doubled, changed or out of order at any
client is counted, and the exit code is 1.
"""
import argparse
import asyncio
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT = 120.0     # seconds until something that has to happen counts as never
AT_ONCE = 8       # lines under way: a new one is said when one of them is there


class Ledger:
    """What everybody has to get: one stream of bytes, in which each client is somewhere."""

    def __init__(self):
        self.stream, self.offsets, self.last, self.parsed = bytearray(), {}, 0, 0
        self.said, self.came, self.waiting = {}, set(), {}
        self.deliveries, self.longest, self.faults = 0, 0.0, []

    def fault(self, text):
        self.faults.append(text)
        if len(self.faults) <= 10:
            print("   " + text, flush=True)

    def extend(self, data):
        self.stream += data
        while (end := self.stream.find(b"\n", self.parsed)) >= 0:
            number, _, text = self.stream[self.parsed:end].decode().partition(" ")
            if int(number) != self.last + 1:
                self.fault(f"line {number} after line {self.last}")
            self.last = int(number)
            self.offsets[self.last] = self.parsed
            self.parsed = end + 1
            self.take(text)

    def take(self, text):
        if text.endswith(" has come"):
            self.came.add(text.split()[0])
            self.wake(text.split()[0])
            return
        name, _, said = text.partition(": ")
        if text.endswith(" has left"):
            self.fault(text)
        elif said.startswith("says "):
            number = int(said.split()[1])
            if number != self.said.get(name, 0):
                self.fault(f"{name} said {number}, {self.said.get(name, 0)} was expected")
            self.said[name] = number + 1
            self.wake((name, number))

    def wake(self, key):
        future = self.waiting.pop(key, None)
        if future and not future.done():
            future.set_result(None)

    def wait(self, key):
        return asyncio.wait_for(self.waiting.setdefault(key, asyncio.get_running_loop().create_future()), LIMIT)


class Client(asyncio.Protocol):
    def __init__(self, ledger, name):
        self.ledger, self.name = ledger, name
        self.at, self.pending, self.count, self.is_over = None, b"", 0, False

    def connection_made(self, transport):
        self.transport = transport

    def place(self):
        """Its stream begins with the line that says that it has come, which the first client has seen by now."""
        number = self.pending.partition(b" ")[0]
        if self.at is None and int(number) in self.ledger.offsets:
            self.at = self.ledger.offsets[int(number)]
            data, self.pending = self.pending, b""
            self.compare(data)

    def data_received(self, data):
        if self.at is None:
            self.pending += data
        else:
            self.compare(data)

    def compare(self, data):
        ledger = self.ledger
        known = min(len(data), len(ledger.stream) - self.at)
        if ledger.stream[self.at:self.at + known] != data[:known]:
            ledger.fault(f"{self.name} got {data[:60]!r}, expected {bytes(ledger.stream[self.at:self.at + 60])!r}")
        self.at += len(data)
        ledger.deliveries += data.count(b"\n")
        if known < len(data):
            ledger.extend(data[known:])

    def connection_lost(self, error):
        if not self.is_over:
            self.ledger.fault(f"{self.name} was disconnected: {error or 'end of the stream'}")

    async def say(self, padding=0, pause=None):
        """One line in two parts, the second after the pause; until it is there."""
        number, self.count = self.count, self.count + 1
        line = f"says {number} {'x' * padding}\n".encode()
        cut = random.randrange(1, 7)
        self.transport.write(line[:cut])
        if pause is None:
            await asyncio.sleep(0)
        else:
            await pause.wait()
        began = time.perf_counter()
        self.transport.write(line[cut:])
        try:
            await self.ledger.wait((self.name, number))
        except asyncio.TimeoutError:
            self.ledger.fault(f"line {number} of {self.name} was lost")
        self.ledger.longest = max(self.ledger.longest, time.perf_counter() - began)


class Crowd:
    def __init__(self, ledger):
        self.ledger, self.clients, self.free, self.is_over = ledger, [], [], False

    async def gather(self, count):
        loop = asyncio.get_running_loop()
        for i in range(count):
            sock = socket.socket()
            if i % 10 == 9:    # one of those that will not read: what it is told stays with the server
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", PORT))
            _, client = await loop.create_connection(lambda: Client(self.ledger, f"c{len(self.clients)}"), sock=sock)
            client.at = 0 if i == 0 else None
            client.transport.write(f"{client.name}\n".encode())
            if client.name not in self.ledger.came:
                await self.ledger.wait(client.name)
            while client.at is None:
                if client.pending:
                    client.place()
                await asyncio.sleep(0)
            self.clients.append(client)
        self.free = list(self.clients)

    async def talk(self):
        """Somebody says something, again and again."""
        while not self.is_over and not self.ledger.faults:
            client = self.free.pop(random.randrange(len(self.free)))
            await client.say()
            self.free.append(client)

    async def around(self, restart):
        """A restart, with half lines and clients that do not read."""
        after = asyncio.Event()
        begun = [self.free.pop(0) for _ in range(min(len(self.free) // 4, 25))]
        deaf = self.clients[9::10]
        for client in deaf:
            client.transport.pause_reading()
        lines = [asyncio.ensure_future(client.say(pause=after)) for client in begun]
        for _ in range(20):
            client = self.free.pop(0)
            await client.say(padding=3000)
            self.free.append(client)
        self.ledger.longest = 0.0
        await restart()
        after.set()
        for client in deaf:
            client.transport.resume_reading()
        await asyncio.gather(*lines)
        self.free += begun
        # A server drops who is a megabyte behind; so nobody begins the next restart with what is left of this one.
        await self.keep_up(deaf, len(self.ledger.stream))

    async def keep_up(self, clients, place):
        async with asyncio.timeout(LIMIT):
            while any(client.at < place for client in clients) and not self.ledger.faults:
                await asyncio.sleep(0.01)

    async def part(self):
        if self.ledger.faults:
            return
        await self.keep_up(self.clients, len(self.ledger.stream))
        for client in self.clients:
            if self.ledger.said.get(client.name, 0) != client.count:
                self.ledger.fault(f"{client.name} said {client.count} lines, {self.ledger.said.get(client.name, 0)} were told")
            client.is_over = True
            client.transport.close()


class Service:
    """The supervisor as its operator sees it."""

    async def follow(self):
        self.events, self.news, self.errors = [], asyncio.Event(), []
        self.following = await asyncio.create_subprocess_exec(
            *LAUNCHD, "events", "--follow", "--json", stdout=subprocess.PIPE, env=ENVIRONMENT, limit=1 << 20)
        asyncio.ensure_future(self.read())

    async def read(self):
        async for line in self.following.stdout:
            self.events.append(json.loads(line))
            self.news.set()

    async def event(self, since, matches):
        async with asyncio.timeout(LIMIT):
            while True:
                for happened in self.events[since:]:
                    if matches(happened):
                        return happened
                self.news.clear()
                await self.news.wait()

    async def restart(self, kind):
        since = len(self.events)
        old = [e["pid"] for e in self.events if e["event"] == "ready"][-1]
        if self.survivor is not None:
            old, self.survivor = self.survivor, None
        verb = await asyncio.create_subprocess_exec(
            *LAUNCHD, "restart", "chat", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        if kind != "good":
            successor = (await self.event(since, lambda e: e["event"] == "ready"))["pid"]
        if kind == "killed while proving":
            os.kill(successor, signal.SIGKILL)
            self.survivor = old
        if kind == "killed in its turn":
            os.kill(successor, signal.SIGSTOP)
            await self.event(since, lambda e: e["event"] == "draining" and e["pid"] == old)
            os.kill(successor, signal.SIGKILL)
            await self.event(since, lambda e: e["event"] == "ready" and e["pid"] != successor)
        said, _ = await asyncio.wait_for(verb.communicate(), LIMIT)
        if kind != "killed while proving":
            await self.event(since, lambda e: e["event"] == "exited" and e["pid"] == old)
        if (verb.returncode != 0) != (kind == "killed while proving") and kind != "killed in its turn":
            self.errors.append(f"a restart ({kind}) ended with {verb.returncode}: {said.decode()}")

    survivor = None


def kind_of(restart):
    return "killed while proving" if restart % 5 == 0 else "killed in its turn" if restart % 7 == 0 else "good"


async def run(options):
    ledger, service = Ledger(), Service()
    await service.follow()
    await service.event(0, lambda e: e["event"] == "ready")
    crowd = Crowd(ledger)
    began = time.perf_counter()
    await crowd.gather(options.clients)
    print(f"{options.clients} clients of the {options.server} server are there after {time.perf_counter() - began:.1f} s", flush=True)
    talks = [asyncio.ensure_future(crowd.talk()) for _ in range(AT_ONCE)]
    longest = 0.0
    for restart in range(1, options.restarts + 1):
        await crowd.around(lambda: service.restart(kind_of(restart)))
        longest = max(longest, ledger.longest)
        print(f"restart {restart}/{options.restarts} ({kind_of(restart)}): {ledger.last} lines, {ledger.deliveries} told, "
              f"longest wait {ledger.longest * 1000:.0f} ms, {len(ledger.faults)} faults", flush=True)
        if ledger.faults:
            break
    crowd.is_over = True
    await asyncio.gather(*talks)
    await crowd.part()
    service.following.terminate()
    await service.following.wait()
    for error in service.errors:
        print("   " + error)
    faults = len(ledger.faults) + len(service.errors)
    print(f"{'PASSED' if faults == 0 else 'FAILED'}: {options.clients} clients, {restart} restarts of the {options.server} server, {ledger.last} lines, "
          f"{ledger.deliveries} told; disconnects, lost, doubled, changed, out of order: {faults}; longest wait {longest * 1000:.0f} ms; "
          f"{time.perf_counter() - began:.0f} s")
    return 1 if faults else 0


def main():
    global PORT, ENVIRONMENT, LAUNCHD
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["dotnet", "python"], default="dotnet")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=10)
    options = parser.parse_args()
    if options.clients < 20:
        parser.error("at least 20 clients: some are busy while others talk")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    LAUNCHD = os.environ.get("LAUNCHD_CS", str(ROOT / "artifacts/native/launchd-cs")).split()
    dll = os.environ.get("CHAT_DLL", str(ROOT / "artifacts/bin/Chat/release/Chat.dll"))
    command = [shutil.which("dotnet"), dll] if options.server == "dotnet" else [sys.executable, str(ROOT / "samples/chat/chat.py")]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="launchd-chat-"))
    config = folder / "chat.toml"
    config.write_text(
        f'supervisor.runtime_directory = "run"\nsupervisor.log_level = "warning"\n[sockets.chat]\nlisten = "tcp://127.0.0.1:0"\nnon_blocking = true\n'
        f'send_buffer = "16KiB"\n[services.chat]\ncommand = {json.dumps(command)}\nsockets = ["chat"]\nready = "notify"\nready_timeout = "60s"\n'
        f'rollout = {{ prove = "1s" }}\nbackoff = {{ initial = "10ms" }}\nstop_timeout = "60s"\nstart_limit = {{ burst = 1000, interval = "1s" }}\n'
        f'limits = {{ nofile = 8192 }}\n')
    ENVIRONMENT = dict(os.environ, LAUNCHD_RUNTIME_DIRECTORY=str(folder / "run"), NO_COLOR="1")
    supervisor = subprocess.Popen([*LAUNCHD, "run", str(config)], env=ENVIRONMENT)
    try:
        while subprocess.run([*LAUNCHD, "start", "chat"], env=ENVIRONMENT, capture_output=True).returncode != 0:
            if supervisor.poll() is not None:
                raise SystemExit("the supervisor ended")
        status = json.loads(subprocess.run([*LAUNCHD, "status", "--json"], env=ENVIRONMENT, capture_output=True, check=True).stdout)
        PORT = int(status["sockets"][0]["address"].rsplit(":", 1)[1])
        return asyncio.run(run(options))
    finally:
        supervisor.terminate()
        supervisor.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
