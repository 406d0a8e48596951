#!/usr/bin/env python3
"""A hundred hostile services at once beside three good ones: who answers, who is harmed, and how it ends.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/swarm/swarm.py [--count N] [--seconds S]

Hostile services do what hostile.c says: they leave descriptors that do not close, keep the locks of pipes, flood their store. The
supervisor's own output goes to a pipe whose reader keeps its lock, too. The good ones are one that writes lines into its log file, one that is
started by each connection, and one with a watchdog. For S seconds `status` is asked and a connection made, again and again; then comes SIGTERM.
The last line is the verdict, and the exit code 1 if it is FAIL: `status` after 50 ms or more in the median, or after 250 ms more often than once
in a hundred, a line or a connection missing, a watchdog gone off, an end of another kind than 0, later than 10 s, or a process left behind. As root
the hostile ones are nobody's, and supervisor and bench go before them (docs/adr/0070); as another user it is the scheduler that is measured.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--count", type=int, default=100, help="hostile services; default 100")
parser.add_argument("--seconds", type=float, default=15, help="default 15")
ARGS = parser.parse_args()
LAUNCHD = os.path.abspath(os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs"))
HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ["pipe", "output", "helper", "locks", "store"]
WATCHED = 'import os,socket,time\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect(os.environ["NOTIFY_SOCKET"])\n' \
    's.send(b"READY=1")\nwhile True:\n    time.sleep(0.5);s.send(b"WATCHDOG=1")\n'


def config(folder):
    user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
    text = f"""
[supervisor]
runtime_directory = "{folder}/run"
[defaults]
stop_timeout = "3s"
[services.lines]
command = ["sh", "-c", 'i=0; while :; do i=$((i+1)); echo line $i; echo $i > {folder}/lines.last; sleep 0.1; done']
log = {{ path = "{folder}/lines.log" }}
[sockets.greet]
listen = "unix:{folder}/greet.sock"
[services.greet]
command = ["sh", "-c", "echo hello"]
sockets = ["greet"]
start = "connection"
output = "socket"
[services.watched]
command = ["{sys.executable}", "-c", '''{WATCHED}''']
ready = "notify"
watchdog = "5s"
"""
    for i in range(ARGS.count):
        text += f"""[services.hostile{i}]
command = ["{folder}/hostile", "{KINDS[i % len(KINDS)]}"]
{user}ready = "notify"
fd_store = 1024
restart = "never"
"""
    return text


def ask(path, method, timeout=30):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(json.dumps({"method": "org.launchd-cs.Supervisor." + method}).encode() + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            more = s.recv(1 << 20)
            if not more:
                raise EOFError("the supervisor closed the connection")
            answer += more
    return json.loads(answer[:-1])["parameters"]


def greet(folder):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(f"{folder}/greet.sock")
        return s.recv(100)


def service(status, name):
    return next(s for s in status["services"] if s["service"] == name)


def left(folder):
    """Processes that run the hostile program, or have the folder in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid() and (os.readlink(f"/proc/{pid}/exe").startswith(folder)
                                            or folder.encode() in open(f"/proc/{pid}/environ", "rb").read()):
                found.append(int(pid))
        except OSError:
            pass
    return found


def run(folder):
    faults = []
    with open(f"{folder}/launchd.toml", "w") as f:
        f.write(config(folder))
    reader = subprocess.Popen([f"{folder}/hostile", "reader"], stdin=subprocess.PIPE, env={})
    env = {**os.environ, "LAUNCHD_RUNTIME_DIRECTORY": f"{folder}/run"}
    supervisor = subprocess.Popen([LAUNCHD, "run", f"{folder}/launchd.toml"], stdin=subprocess.DEVNULL, stdout=reader.stdin,
                                  stderr=reader.stdin, env=env, cwd=folder, start_new_session=True)
    reader.stdin.close()
    control, answers, status = f"{folder}/run/control.sock", [], None
    deadline = time.monotonic() + 60
    while status is None or service(status, "watched")["state"] != "ready":
        if supervisor.poll() is not None or time.monotonic() > deadline:
            return [f"the supervisor did not come up: {supervisor.poll()}"]
        try:
            status = ask(control, "Status")
        except OSError:
            time.sleep(0.01)
    began = time.monotonic()
    greeted, slowest_greeting = 0, 0.0
    while time.monotonic() - began < ARGS.seconds:
        at = time.monotonic()
        status = ask(control, "Status")
        answers.append(time.monotonic() - at)
        at = time.monotonic()
        if greet(folder) != b"hello\n":
            faults.append("a connection was not served")
        greeted += 1
        slowest_greeting = max(slowest_greeting, time.monotonic() - at)
        time.sleep(0.01)
    median, most, worst = statistics.median(answers) * 1000, sorted(answers)[int(len(answers) * .99)] * 1000, max(answers) * 1000
    print(f"status: {len(answers)} answers, median {median:.1f} ms, 99 of 100 within {most:.1f} ms, worst {worst:.1f} ms")
    print(f"connections: {greeted} served, the slowest in {slowest_greeting * 1000:.0f} ms")
    if median >= 50 or most >= 250:
        faults.append("status was late")
    for name in ("lines", "watched"):
        if service(status, name)["restarts"] or service(status, name)["state"] != "ready":
            faults.append(f"{name} was harmed")
    counts = {}
    for s in status["services"]:
        if s["service"].startswith("hostile"):
            counts[s["state"]] = counts.get(s["state"], 0) + 1
    cpu = sum(map(int, open(f"/proc/{supervisor.pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    print(f"hostile: {counts}; the supervisor used {cpu:.1f} s of processor time, has {len(os.listdir(f'/proc/{supervisor.pid}/task'))} threads "
          f"and {len(os.listdir(f'/proc/{supervisor.pid}/fd'))} descriptors")
    began = time.monotonic()
    supervisor.send_signal(signal.SIGTERM)
    try:
        code = supervisor.wait(60)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        return [*faults, "it did not end within 60 s"]
    took = time.monotonic() - began
    print(f"end: exit code {code} after {took:.1f} s")
    if code != 0 or took > 10:
        faults.append("it did not end in order")
    lines = open(f"{folder}/lines.log").read().splitlines()
    wanted = int(open(f"{folder}/lines.last").read())
    print(f"log: {len(lines)} lines of {wanted}")
    if not all(line.endswith(f"line {i + 1}") for i, line in enumerate(lines)) or len(lines) < wanted:
        faults.append("lines are missing in the log")
    reader.kill()
    reader.wait()
    if there := left(folder):
        faults.append(f"left behind: {there}")
        for pid in there:
            os.kill(pid, signal.SIGKILL)
    return faults


def go_before():
    """What is measured is the supervisor, and not how long the bench waits for a processor: it goes before the hostile ones as well."""
    if os.getsid(0) != os.getpid():
        if os.getpgid(0) == os.getpid() and (bench := os.fork()):
            # The leader of a group, as the job of an interactive shell is, may begin no session (setsid(2)): its child does.
            for told in (signal.SIGINT, signal.SIGTERM):
                signal.signal(told, lambda number, _: os.kill(bench, number))
            code = os.waitstatus_to_exitcode(os.waitpid(bench, 0)[1])
            os._exit(code if code >= 0 else 128 - code)
        os.setsid()
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write("-10")
    except OSError as refused:
        print(f"the scheduler is measured as well: /proc/self/autogroup: {refused.strerror}", flush=True)


go_before()
folder = tempfile.mkdtemp(prefix="swarm-")
try:
    os.chmod(folder, 0o755)
    subprocess.run(["cc", "-O1", "-pthread", "-o", f"{folder}/hostile", f"{HERE}/hostile.c"], check=True)
    problems = run(folder)
finally:
    for pid in left(folder):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
for problem in problems:
    print(problem)
print("FAIL" if problems else "PASS")
sys.exit(1 if problems else 0)
