#!/usr/bin/env bash
# A service directory of s6 may have a file lock-fd, so that an s6-supervise that was killed and started again waits for the service of the
# first one in place of starting a second copy (servicedir.html). In s6 2.11.3.2 it does not. First, supervise/service-lock is opened
# without O_CREAT and nobody makes it, so a new service with lock-fd is not started at all: "unable to open supervise/service-lock". Second,
# where one makes that file, s6-supervise locks it itself, with fcntl(F_SETLK), and then forks: such a lock is not inherited (fcntl(2)), and
# the parent loses it when it closes the descriptor a moment later. Nothing is locked when the service runs: the second copy is started.
# Needs s6 (Debian 12: 2.11.3.2-1). Exits with 1 when s6 behaves otherwise.
# In launchd-cs: what lives is recognised by its pid and the inode of its pidfd (docs/adr/0076-going-on-where-a-supervisor-died.md).
set -euo pipefail
command -v s6-supervise > /dev/null || { echo "needs the package s6"; exit 2; }
dpkg-query -W -f '${Package} ${Version}\n' s6 2> /dev/null || true
folder=$(mktemp -d)
supervisor=
# Kills the s6-supervise; the shell would write a line about it.
end() { { kill -KILL "$supervisor" && wait "$supervisor"; } 2> /dev/null || true; }
finish() {
  end
  while read -r pid; do kill -KILL "$pid" 2> /dev/null || true; done < "$folder/pids"
  rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
touch pids
mkdir -p bare made/supervise
for service in bare made; do
  printf '#!/bin/sh\necho $$ >> %s/pids\nexec sleep 1000\n' "$folder" > $service/run
  chmod +x $service/run
  echo 9 > $service/lock-fd
done
touch made/supervise/service-lock

births() { wc -l < pids; }
# Waits until the services are that many, 3 s at most.
await() { for _ in $(seq 60); do [[ $(births) -ge $1 ]] && return; sleep 0.05; done; }

s6-supervise bare 2> said &
supervisor=$!
await 1
bare=$(births)
end
echo "with lock-fd alone: $bare services started; $(head -1 said)"

s6-supervise made 2>> said &
supervisor=$!
await $((bare + 1))
end
s6-supervise made 2>> said &
supervisor=$!
await $((bare + 2))
living=0
while read -r pid; do kill -0 "$pid" 2> /dev/null && living=$((living + 1)); done < pids
echo "with supervise/service-lock made beforehand, s6-supervise killed and started again: $living services live"
[[ $bare == 0 && $living == 2 ]]
