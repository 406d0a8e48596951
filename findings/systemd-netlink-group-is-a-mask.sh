#!/usr/bin/env bash
# ListenNetlink= in a socket unit takes a family and, as systemd.socket(5) has it, a multicast group. One would take "route 3" for the third group of
# rtnetlink (RTNLGRP_NEIGH). It is no group's number: systemd hands it to bind(2) as nl_groups, which is a bit mask, so the socket is in groups 1 and 2,
# and a unit for groups beyond the 32nd cannot be written. Its own unit systemd-networkd.socket relies on that ("route 1361", six groups).
# Runs systemd as the first process of namespaces of its own, with that one unit, and reads /proc/net/netlink. Needs root, and systemd (no service of this
# machine is touched); exits with 1 when systemd behaves otherwise.
# In launchd-cs: netlink:FAMILY:GROUP takes the same mask (docs/configuration.md), so that a unit's number can be taken over as it is.
set -euo pipefail
if [[ ${1:-} != inside ]]; then
  [[ $(id -u) == 0 ]] || { echo "needs root"; exit 2; }
  systemd=$(command -v /lib/systemd/systemd /usr/lib/systemd/systemd | head -1) || { echo "needs the package systemd"; exit 2; }
  folder=$(mktemp -d)
  group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/finding-$$
  trap 'sleep 0.2; find "$group" -depth -type d -exec rmdir {} + 2> /dev/null; rm -rf "$folder"' EXIT
  mkdir -p "$folder/units" "$folder/none" "$group"
  printf '[Unit]\nDefaultDependencies=no\n[Socket]\nListenNetlink=route 3\nService=never.service\n' > "$folder/units/third.socket"
  printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/true\n' > "$folder/units/never.service"
  printf '[Unit]\nDefaultDependencies=no\nWants=third.socket\n' > "$folder/units/only.target"
  echo "kernel $(uname -r), $("$systemd" --version | head -1)"
  # In a network namespace of its own there are no other sockets to be mistaken for it.
  (echo 0 > "$group/cgroup.procs" && exec unshare --mount --pid --uts --ipc --cgroup --net --fork --kill-child --mount-proc \
    "$0" inside "$folder" "$systemd") > "$folder/said" 2>&1 &
  for _ in $(seq 100); do
    first=$(pgrep -f "^$systemd --system --unit=only.target" | head -1 || true)
    # Columns: address, protocol (0: rtnetlink), port, groups. systemd itself has such sockets too, which are in no group.
    [[ -n $first ]] && groups=$(awk 'NR > 1 && $2 == 0 && $4 != "00000000" { print $4 }' "/proc/$first/net/netlink") && [[ -n $groups ]] && break
    sleep 0.1
  done
  { kill -KILL %1 && wait %1; } 2> /dev/null || true
  echo "ListenNetlink=route 3 is in the groups of mask ${groups:-(none seen) $(cat "$folder/said")}; group 3 alone would be 00000004"
  [[ ${groups:-} == 00000003 ]]
  exit
fi
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd
exec env -i container=finding PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$2/units" SYSTEMD_GENERATOR_PATH="$2/none" \
  "$3" --system --unit=only.target --log-target=console --log-level=warning --show-status=no
