#!/usr/bin/env bash
# SIGABRT from another process does not end a .NET program that runs on CoreCLR. The runtime has a handler for it, which takes the signal for an abort(3) of
# the program's own: it puts back the default action and returns, so that the fault, met again, would end the process. After kill(2) there is no fault
# to meet: the program goes on as if nothing had happened, without a dump, and only the next SIGABRT ends it. A supervisor whose watchdog sends SIGABRT
# once, as systemd's does, waits for its whole time-out before it kills a .NET service that hangs.
# Needs the .NET SDK (10); builds a program of one line in a temporary folder. Exits with 1 when the runtime behaves otherwise.
# In launchd-cs: a silent watchdog's SIGABRT is sent again after a second (src/Launchd/Core/Instances/Stopping.cs).
set -euo pipefail
folder=$(mktemp -d)
trap 'kill -KILL "${program:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
cat > "$folder/sleeper.csproj" <<'PROJECT'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
</Project>
PROJECT
echo 'System.Console.WriteLine("up"); System.Threading.Thread.Sleep(System.Threading.Timeout.Infinite);' > "$folder/Program.cs"
dotnet build -v quiet -o "$folder/out" "$folder/sleeper.csproj" > "$folder/said" 2>&1 || { cat "$folder/said"; exit 2; }
echo "kernel $(uname -r), $(dotnet --list-runtimes | grep NETCore.App | tail -1 | cut -d' ' -f1,2)"
ulimit -c 0
mkfifo "$folder/up"
dotnet "$folder/out/sleeper.dll" > "$folder/up" &
program=$!
read -r _ < "$folder/up"
handles() { (( (0x$(awk '/^SigCgt/ { print $2 }' "/proc/$program/status") >> 5) & 1 )); }
handles && echo "SIGABRT has a handler"
kill -ABRT "$program"
for _ in $(seq 50); do handles || break; sleep 0.1; done
sleep 1
if kill -0 "$program" 2> /dev/null && ! handles; then echo "alive a second after the first SIGABRT, and without a handler now"; survived=yes; fi
kill -ABRT "$program" 2> /dev/null || true
code=0; wait "$program" 2> /dev/null || code=$?
echo "ended by the second: $code"
[[ ${survived:-} == yes && $code == 134 ]]
