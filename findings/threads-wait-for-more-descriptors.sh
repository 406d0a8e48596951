#!/usr/bin/env bash
# A process that has more descriptors than its table has room for gets a larger table. With one thread that takes microseconds; with two it takes as long
# as it takes all processors to come by (an RCU grace period, in the kernel's expand_fdtable), hundreds of times longer. An execution keeps the table, so
# that a program which is started with one descriptor at a high number, opened before it has threads, never waits. Needs gcc; exits with 1 when the kernel
# behaves otherwise.
# In launchd-cs: the number at which the keeper gives a supervisor its socket; a supervisor was back after a death 35 ms earlier.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/grow.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void *rest(void *nothing) { pause(); return nothing; }

/* Microseconds that it takes to have a descriptor at 300, in a table that ends at 256 or before. */
int main(int count, char **words) {
    if (count > 2 && strcmp(words[2], "high") == 0) {
        fcntl(0, F_DUPFD, 300);
        words[2] = "born";
        execv("/proc/self/exe", words);
    }
    if (strcmp(words[1], "two") == 0) {
        pthread_t other;
        pthread_create(&other, NULL, rest, NULL);
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (fcntl(0, F_DUPFD_CLOEXEC, 310) < 0) return 1;
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%ld\n", (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000);
}
C
gcc -O1 -pthread -o "$folder/grow" "$folder/grow.c"
ulimit -n 1024
median() { for _ in $(seq 21); do "$folder/grow" "$@"; done | sort -n | sed -n 11p; }
one=$(median one) two=$(median two) born=$(median two high)
echo "kernel $(uname -r): one thread $one us, two threads $two us, two threads born with a high descriptor $born us"
if (( two > 20 * (one + 1) && two > 20 * (born + 1) )); then
    echo "two threads wait for the larger table, unless they were born with it"
else
    echo "CHANGED: two threads do not wait (any more)"
    exit 1
fi
