#!/usr/bin/env python3
"""Random reloads under load, half of them wrong. See README.md."""
import argparse, os, pathlib, random, resource, shutil, signal, socket, subprocess, sys, tempfile, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import Control  # noqa: E402

SERVER = """
import socket, sys, threading
listeners = [socket.socket(fileno=3 + i) for i in range(int(__import__('os').environ['LISTEN_FDS']))]
def serve(s):
    while True:
        c, _ = s.accept()
        try:
            c.recv(64)
            c.sendall(sys.argv[1].encode())
        except OSError:
            pass
        c.close()
for s in listeners[1:]:
    threading.Thread(target=serve, args=(s,), daemon=True).start()
serve(listeners[0])
"""


class Load(threading.Thread):
    """Asks one address, one connection for each request, and writes down how each went."""

    def __init__(self, name, address, ledger):
        super().__init__(daemon=True)
        self.name, self.address, self.ledger = name, address, ledger
        self.count, self.failures, self.slowest, self.is_over = 0, [], 0.0, False

    def run(self):
        while not self.is_over:
            began = time.monotonic()
            try:
                with socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET) as client:
                    client.settimeout(10)
                    client.connect(self.address)
                    client.sendall(b"x")
                    answer = client.recv(64).decode()
                    if not answer:
                        raise OSError("no answer")
            except OSError as error:
                answer = "FAILED " + repr(error)
                self.failures.append((began, answer))
            took = time.monotonic() - began
            self.count += 1
            self.slowest = max(self.slowest, took)
            self.ledger.write(f"{began:.6f}\t{self.name}\t{took * 1e6:.0f}\t{answer}\n")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Wanted:
    """A configuration that can be written as a file."""

    def __init__(self, folder, ports):
        self.folder, self.ports = folder, ports
        self.word, self.count, self.backlog, self.mode, self.stop = "a", 1, 128, "0600", 5
        self.name, self.port = "moving", 0
        self.extra = set()

    def mutate(self, dice):
        for _ in range(dice.randint(1, 3)):
            match dice.randint(0, 7):
                case 0: self.word = dice.choice("abcdef")
                case 1: self.count = dice.randint(1, 3)
                case 2: self.backlog = dice.choice([64, 128, 512, 4096])
                case 3: self.mode = dice.choice(["0600", "0660", "0666"])
                case 4: self.stop = dice.randint(3, 9)
                case 5: self.name = dice.choice(["moving", "renamed"])
                case 6: self.port = dice.randrange(len(self.ports) - 1)
                case 7: self.extra ^= {dice.choice(["x", "y", "z"])}

    def copy(self):
        other = Wanted(self.folder, self.ports)
        other.__dict__.update(self.__dict__)
        other.extra = set(self.extra)
        return other

    def warmer(self):
        other = self.copy()
        other.word, other.count = "warm", 3
        return other

    def text(self):
        server = f"{self.folder}/server.py"
        lines = [
            'name = "storm"', '[supervisor]', f'runtime_directory = "{self.folder}/run"', 'log_level = "warning"', '[defaults]',
            'rollout = { prove = "0s" }', f'stop_timeout = "{self.stop}s"',
            '[sockets.steady]', f'listen = "tcp://127.0.0.1:{self.ports[-1]}"', f'backlog = {self.backlog}',
            '[sockets.path]', 'listen = "unix:path.sock"', f'mode = "{self.mode}"',
            f'[sockets.{self.name}]', f'listen = "tcp://127.0.0.1:{self.ports[self.port]}"',
            '[services.steady]', f'command = ["{sys.executable}", "{server}", "steady"]', 'sockets = ["steady"]', 'instances = 2',
            '[services.path]', f'command = ["{sys.executable}", "{server}", "path"]', 'sockets = ["path"]',
            '[services.changing]', f'command = ["{sys.executable}", "{server}", "{self.word}"]', f'sockets = ["{self.name}"]',
            f'instances = {self.count}']
        for extra in sorted(self.extra):
            lines += [f'[services.{extra}]', 'command = ["sleep", "1000000"]']
        return "\n".join(lines) + "\n"

    def services(self):
        return {"steady": 2, "path": 1, "changing": self.count, **{x: 1 for x in self.extra}}


def spoil(text, dice, taken):
    match dice.randint(0, 6):
        case 0: return text + "[services.broken\n"
        case 1: return text + '[services.broken]\ncomand = ["sleep"]\n'
        case 2: return text + f'[sockets.broken]\nlisten = ["unix:new.sock", "tcp://127.0.0.1:{taken}"]\n'
        case 3: return text + '[services.broken]\ncommand = ["there-is-no-such-program"]\n'
        case 4: return text + '[files.broken]\npath = "/there/is/no/such/file"\n'
        case 5: return text + '[sockets.broken]\nlisten = "unix:new.sock"\nuser = "nobody-of-that-name"\n'
        case _: return text.replace('name = "storm"', 'name = "calm"')


def differences(control, wanted):
    """What of the supervisor's state is not as the last right file says."""
    status = control.call("Status")["parameters"]
    running = {s["service"]: sum(i["state"] == "ready" for i in s["instances"]) for s in status["services"]}
    found = [] if running == wanted.services() else [f"services are {running}, not {wanted.services()}"]
    sockets = {s["socket"]: (s["address"], s["backlog_count"]) for s in status["sockets"]}
    expected = {
        "steady": (f"tcp://127.0.0.1:{wanted.ports[-1]}", wanted.backlog), "path": (f"unix:{wanted.folder}/path.sock", 4096),
        wanted.name: (f"tcp://127.0.0.1:{wanted.ports[wanted.port]}", 4096)}
    if sockets != expected:
        found.append(f"sockets are {sockets}, not {expected}")
    mode = f"{os.stat(wanted.folder + '/path.sock').st_mode & 0o7777:04o}"
    if mode != wanted.mode:
        found.append(f"mode is {mode}, not {wanted.mode}")
    with socket.create_connection(("127.0.0.1", wanted.ports[wanted.port]), 10) as client:
        client.sendall(b"x")
        answer = client.recv(64).decode()
    if answer != wanted.word:
        found.append(f"the changing service answers '{answer}', not '{wanted.word}'")
    if os.path.exists(wanted.folder + "/new.sock"):
        found.append("a refused reload left a socket behind")
    return found


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled(pid, most):
    """The count once it is at most that, or once it has not changed for a second: pipes of what ended are closed by another thread."""
    count, end = descriptors(pid), time.monotonic() + 1
    while count > most and time.monotonic() < end:
        now = descriptors(pid)
        if now != count:
            count, end = now, time.monotonic() + 1
    return count


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def zombies(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        states = [open(f"/proc/{child}/stat").read().rsplit(") ", 1)[1][0] for child in children.read().split()]
    return states.count("Z")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--launchd", default=os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs"))
    options.add_argument("--reloads", type=int, default=500)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options.add_argument("--ledger", default=None)
    chosen = options.parse_args()
    dice = random.Random(chosen.seed)
    folder = tempfile.mkdtemp(prefix="storm-")
    with open(folder + "/server.py", "w") as file:
        file.write(SERVER)
    taken = socket.create_server(("127.0.0.1", 0))
    holds = Wanted(folder, free_ports(4))
    config = folder + "/storm.toml"
    with open(config, "w") as file:
        file.write(holds.text())
    log = open(folder + "/log", "w")
    supervisor = subprocess.Popen([os.path.abspath(chosen.launchd), "run", config], stdout=log, stderr=log)
    ledger = open(chosen.ledger or folder + "/ledger", "w")
    problems, kinds, latencies, invalid, slowest = [], {}, [], 0, ""
    try:
        control = connect(folder + "/run/control.sock")
        control.call("Start", all=True)
        loads = [Load("steady-1", ("127.0.0.1", holds.ports[-1]), ledger), Load("steady-2", ("127.0.0.1", holds.ports[-1]), ledger),
                 Load("path", folder + "/path.sock", ledger)]
        for load in loads:
            load.start()
        # Some descriptors are opened when they are first needed: once through it, refusal included, and back.
        for warm in (holds.warmer().text(), "what is no configuration", holds.text()):
            with open(config, "w") as file:
                file.write(warm)
            control.call("Reload")
        before, memory_before = settled(supervisor.pid, 0), memory(supervisor.pid)
        pids = steady_pids(control)
        for number in range(chosen.reloads):
            wanted = holds.copy()
            wanted.mutate(dice)
            is_wrong = dice.random() < 0.5
            invalid += is_wrong
            text = spoil(wanted.text(), dice, taken.getsockname()[1]) if is_wrong else wanted.text()
            with open(config, "w") as file:
                file.write(text)
            began = time.monotonic()
            answer = control.call("Reload")
            latencies.append(time.monotonic() - began)
            if latencies[-1] == max(latencies):
                slowest = f"reload {number}: {[c['table'] + ' ' + c['effect'] for c in answer['parameters'].get('changes', [])]}, " + str(
                    [(r['service'], r['elapsed_ms']) for r in answer['parameters'].get('results', [])])
            kind = answer.get("error", "applied").rsplit(".", 1)[-1]
            kinds[kind] = kinds.get(kind, 0) + 1
            if ("error" in answer) != is_wrong:
                problems.append(f"reload {number}: {'taken' if is_wrong else 'refused'}: {json.dumps(answer)[:400]}")
            elif not is_wrong and not all(r["ok"] for r in answer["parameters"]["results"]):
                problems.append(f"reload {number}: {answer['parameters']['results']}")
            if not is_wrong:
                holds = wanted
            problems += [f"reload {number}: {d}" for d in differences(control, holds)]
        for load in loads:
            load.is_over = True
        for load in loads:
            load.join()
        if steady_pids(control) != pids:
            problems.append("an instance of an unchanged service was replaced")
        problems += [f"request failed: {load.name} {failure}" for load in loads for failure in load.failures]
        with open(config, "w") as file:
            file.write(Wanted(folder, holds.ports).text())
        control.call("Reload")
        after, left = settled(supervisor.pid, before), zombies(supervisor.pid)
        if after > before:
            problems.append(f"{before} descriptors at the start, {after} in the end")
        if left:
            problems.append(f"{left} zombies")
        latencies.sort()
        print(f"seed {chosen.seed}: {chosen.reloads} reloads, {invalid} of them wrong: {kinds}")
        print(f"time of a reload until its services have followed: median {latencies[len(latencies) // 2] * 1e3:.1f} ms, "
              f"longest {latencies[-1] * 1e3:.1f} ms ({slowest})")
        for load in loads:
            print(f"{load.name}: {load.count} requests, {len(load.failures)} failed, slowest {load.slowest * 1e3:.1f} ms")
        print(f"descriptors {before} -> {after}, memory {memory_before} -> {memory(supervisor.pid)} KiB, zombies {left}")
    finally:
        supervisor.send_signal(signal.SIGTERM)
        code = supervisor.wait(60)
        if code != 0:
            problems.append(f"the supervisor ended with {code}")
    for problem in problems[:20]:
        print("WRONG:", problem)
    print("all is as it should be" if not problems else f"{len(problems)} things are wrong; see {folder}")
    if not problems:
        shutil.rmtree(folder)
    return 1 if problems else 0


def connect(path):
    """Connects once the supervisor listens; nothing tells beforehand when that is."""
    end = time.monotonic() + 60
    while True:
        try:
            return Control(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def steady_pids(control):
    services = control.call("Status")["parameters"]["services"]
    return sorted(i["pid"] for s in services if s["service"] in ("steady", "path") for i in s["instances"])


if __name__ == "__main__":
    sys.exit(main())
