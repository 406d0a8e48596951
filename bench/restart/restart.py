#!/usr/bin/env python3
"""Restarts under load, with a ledger: every request is sent once and accounted for. Nothing may be refused, reset, timed out, cut or wrong.

    python3 bench/restart/restart.py [--restarts 40] [--cases tcp,unix,pool,nginx,gunicorn,kestrel,hosted] [--loads close,keep]
                                     [--clients 64] [--rate 0] [--per-second 0] [--calm 5] [--ledger FOLDER]

close: a connection for each request; keep: connections are kept alive. --rate: requests per second over all clients, evenly spread (0: each
client asks again at once, so both processors are always busy). --per-second: restarts per second (0: as fast as they follow each other).
--ledger: a file for each case with a line for every request (see load.c), which is counted again in the end.

Each case has four phases under the same load: warming up; calm; "beside", in which a second service that nobody asks is restarted at the same
rate, which shows what the births of processes take from two processors; and the restarts themselves. tcp, unix: a small C server;
pool: four of it, exchanged one after the other, each restart is four births; nginx, gunicorn, kestrel: unmodified; hosted: samples/web, which is
Kestrel with UseLaunchd.
"""
import argparse
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import ROOT, Load, Progress, Supervisor, compiled, free_port, verdict  # noqa: E402

CASES = ("tcp", "unix", "pool", "nginx", "gunicorn", "kestrel", "hosted")
KESTREL = ROOT / "artifacts/bin/KestrelApp/release/KestrelApp.dll"
HOSTED = ROOT / "artifacts/bin/Web/release/Web.dll"

OWN = '''
[services.NAME]
command = ["{server}"]
sockets = ["NAME"]
ready = "notify"
rollout = {{ prove = "{prove}" }}
'''

NGINX = '''
[services.NAME]
command = ["nginx", "-c", "{folder}/NAME.conf", "-e", "stderr", "-p", "{folder}", "-g", "daemon off; error_log stderr notice;"]
sockets = ["NAME"]
listen_environment = false
ready = {{ output = "start worker process" }}
stop_signal = "SIGQUIT"
environment = {{ NGINX = "${{fd:NAME}};" }}
rollout = {{ prove = "{prove}" }}
'''

NGINX_CONF = '''
pid {folder}/NAME.pid;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "$uri\\n"; }}
  }}
}}
'''

# Threads, because the simplest kind of worker keeps no connections alive.
GUNICORN = '''
[services.NAME]
command = ["gunicorn", "--workers", "1", "--worker-class", "gthread", "--threads", "8", "--log-level", "error", "answer:app"]
sockets = ["NAME"]
ready = "notify"
notify_access = "all"
working_directory = "{folder}"
rollout = {{ prove = "{prove}" }}
'''

GUNICORN_APP = '''
def app(environ, start):
    body = (environ["PATH_INFO"] + "\\n").encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
'''

KESTREL_SERVICE = '''
[services.NAME]
command = ["dotnet", "{kestrel}"]
sockets = ["NAME"]
ready = {{ output = "Application started" }}
rollout = {{ prove = "{prove}" }}
environment = {{ DOTNET_gcServer = "0", Logging__LogLevel__Default = "Information" }}
'''

HOSTED_SERVICE = '''
[services.NAME]
command = ["dotnet", "{hosted}"]
sockets = ["NAME"]
ready = "notify"
rollout = {{ prove = "{prove}" }}
environment = {{ DOTNET_gcServer = "0", Logging__LogLevel__Default = "Warning" }}
'''


def service(case, name, supervisor, port, options):
    """The text of a service of that kind, with what it needs in the folder."""
    text = {"nginx": NGINX, "gunicorn": GUNICORN, "kestrel": KESTREL_SERVICE, "hosted": HOSTED_SERVICE}.get(case, OWN)
    values = {"folder": supervisor.folder, "prove": options.prove, "port": port, "kestrel": KESTREL, "hosted": HOSTED, "server": compiled("server")}
    if case == "nginx":
        (supervisor.folder / f"{name}.conf").write_text(NGINX_CONF.format(**values).replace("NAME", name))
    if case == "gunicorn":
        (supervisor.folder / "answer.py").write_text(GUNICORN_APP)
    listen = f"unix:{supervisor.folder}/{name}.sock" if case == "unix" else f"tcp://127.0.0.1:{port}"
    socket = f'\n[sockets.NAME]\nlisten = "{listen}"\nnon_blocking = true\n'
    pool = "instances = 4\n" if case == "pool" else ""
    return (socket + text.format(**values) + pool).replace("NAME", name)


def restart(supervisor, name, count, options, what, problems):
    """So many restarts, one after the other, each awaited; how many seconds it took."""
    progress, began = Progress(what, count), time.monotonic()
    for number in range(count):
        if options.per_second > 0:
            time.sleep(max(0.0, began + number / options.per_second - time.monotonic()))
        answer = supervisor.call("Restart", services=[name])
        results = answer.get("parameters", {}).get("results", [])
        if "error" in answer or not results or not all(r["ok"] for r in results):
            problems.append(f"{what} {number + 1}: {answer}"[:600])
        progress.show(number + 1, f"({len(problems)} failed)")
    progress.close()
    return time.monotonic() - began


def run(case, keeps, options):
    port, beside, problems = free_port(), free_port(), []
    with Supervisor("restart", start=False) as supervisor:
        supervisor.run(service(case, "web", supervisor, port, options) + service(case, "beside", supervisor, beside, options))
        for name in ("web", "beside"):
            answer = supervisor.call("Start", services=[name])
            if not all(r["ok"] for r in answer["parameters"]["results"]):
                raise SystemExit(f"{case} does not start: {answer}")
        ledger = options.ledger and str(pathlib.Path(options.ledger, f"{case}-{'keep' if keeps else 'close'}"))
        load = Load(f"{supervisor.folder}/web.sock" if case == "unix" else f"127.0.0.1:{port}", options.clients, keeps, options.rate, ledger)
        time.sleep(min(2.0, options.calm))
        load.phase("calm")
        time.sleep(options.calm)
        calm = load.phase("beside")
        restart(supervisor, "beside", min(options.restarts, options.beside), options, f"{case} {'keep' if keeps else 'close'} beside", problems)
        births = load.phase("restarts")
        memory, processor = supervisor.memory(), supervisor.processor_seconds()
        took = restart(supervisor, "web", options.restarts, options, f"{case} {'keep' if keeps else 'close'}", problems)
        processor = supervisor.processor_seconds() - processor
        restarts = load.end()
        if load.bad:
            problems.append(f"{len(load.bad)} requests failed, first: {load.bad[:3]}")
        if not load.balances():
            problems.append(f"the figures do not balance: {load.phases}")
        if (mistake := load.audit()) is not None:
            problems.append(mistake)
        if case in ("tcp", "unix", "pool") and restarts["changes"] < options.restarts:
            problems.append(f"only {restarts['changes']} instances answered in {options.restarts} restarts")
        supervisor.keeps = bool(problems)
        grown = supervisor.memory() - memory
    ratio = restarts["p99_ms"] / calm["p99_ms"] if calm["p99_ms"] > 0 else 0.0
    ratio_beside = restarts["p99_ms"] / births["p99_ms"] if births["p99_ms"] > 0 else 0.0
    sent = sum(p["answered"] for p in load.phases.values()) + load.failures()
    again = sum(p["again"] for p in load.phases.values())
    print(f"{case:8} {'keep' if keeps else 'close':5} {options.restarts:6} restarts {options.restarts / took:5.1f}/s {sent:10} requests "
          f"{load.failures():3} failed {again:4} again | {restarts['answered'] / restarts['seconds']:7.0f}/s "
          f"| p50 {calm['p50_ms']:.2f} {births['p50_ms']:.2f} {restarts['p50_ms']:.2f} p99 {calm['p99_ms']:.2f} {births['p99_ms']:.2f} "
          f"{restarts['p99_ms']:.2f} (x{ratio:.2f} of calm, x{ratio_beside:.2f} of beside) longest {restarts['longest_ms']:.1f} ms "
          f"| daemon {processor / options.restarts * 1000:.1f} ms each, {grown:+d} KiB", flush=True)
    return sent, problems


def available(case):
    if case in ("nginx", "gunicorn") and shutil.which(case) is None:
        return f"{case} is not installed"
    if case == "kestrel" and not KESTREL.exists():
        return f"{KESTREL} is not built: dotnet build tests/KestrelApp -c Release"
    if case == "hosted" and not HOSTED.exists():
        return f"{HOSTED} is not built: dotnet build samples/web -c Release"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=40)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--loads", default="close,keep")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--per-second", type=float, default=0)
    parser.add_argument("--calm", type=float, default=5)
    parser.add_argument("--beside", type=int, default=200, help="most restarts of the service beside")
    parser.add_argument("--prove", default="50ms", help="how long a new instance must stay ready")
    parser.add_argument("--ledger", help="a folder for the ledgers")
    options = parser.parse_args()
    if options.ledger:
        pathlib.Path(options.ledger).mkdir(parents=True, exist_ok=True)
    problems, sent, ran = [], 0, 0
    for case in options.cases.split(","):
        if (reason := available(case)) is not None:
            print(f"{case:8} skipped: {reason}")
            continue
        for load in options.loads.split(","):
            requests, found = run(case, load == "keep", options)
            sent, ran = sent + requests, ran + 1
            problems += [f"{case} {load}: {problem}" for problem in found]
    return verdict("restart", problems, f"{ran} cases of {options.restarts} restarts under {options.clients} clients, {sent} requests")


if __name__ == "__main__":
    sys.exit(main())
