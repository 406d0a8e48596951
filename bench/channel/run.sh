#!/bin/sh
# Get and Request over the instance channel, against a C floor. LAUNCHD_CS is the native binary; needs gcc.
set -eu
: "${LAUNCHD_CS:?set LAUNCHD_CS to the native binary}"
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT INT TERM
gcc -O2 -o "$scratch/bx-channel" bx-channel.c
ports() { i=0; while [ "$i" -lt "$1" ]; do printf '"unix:%s/s%s-%s", ' "$scratch" "${2:-0}" "$i"; i=$((i + 1)); done; }
cat > "$scratch/c.toml" <<CONFIG
[supervisor]
runtime_directory = "$scratch/run"
[sockets.one]
listen = "tcp://127.0.0.1:0"
[sockets.batch]
listen = [$(ports 128)]
$(for part in 1 2 3 4; do printf '[sockets.thousand%s]\nname = "thousand"\nlisten = [%s]\n' "$part" "$(ports 250 "$part")"; done)
[services.owner]
command = ["$scratch/bx-channel", "owner"]
sockets = ["one"]
share = { "*" = ["asking"] }
[services.asking]
command = ["$scratch/bx-channel", "asking"]
sockets = ["one", "batch", "thousand1", "thousand2", "thousand3", "thousand4"]
request = ["owner/*"]
restart = "never"
CONFIG
mkfifo "$scratch/out"
"$LAUNCHD_CS" run "$scratch/c.toml" > "$scratch/out" 2>&1 &
pid=$!
while read -r line; do
    case $line in
        *"asking.0"*over) break ;;
        *"asking.0"*) printf '%s\n' "${line#*│ }" ;;
        *error*|*warn*) printf '%s\n' "$line" ;;
    esac
done < "$scratch/out"
