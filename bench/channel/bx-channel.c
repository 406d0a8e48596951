/* bx-channel: how fast descriptors come over the instance channel, beside a floor in C that does nothing but send them.
   Runs as a service (see run.sh). "owner" publishes what "asking" requests; "asking" prints one row per measure. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec; }

static void row(const char *name, long ops, long fds, uint64_t ns)
{
    printf("%-28s %8.0f ops/s %9.0f fds/s %8.1f us/op\n", name, ops * 1e9 / ns, fds * 1e9 / ns, ns / 1e3 / ops);
    fflush(stdout);
}

/* Receives one packet, closes its descriptors, returns how many there were; -1 at the end. *more: another packet of the answer follows. */
static int take(int s, int *more)
{
    static char bytes[70000], control[CMSG_SPACE(sizeof(int) * 253)];
    struct iovec io = { bytes, sizeof bytes };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
    if (n <= 0) return -1;
    if (more) *more = n > 20 && !memcmp(bytes + n - 18, "\"continues\":true}", 17) ? 1 : memmem(bytes, (size_t)n, "\"continues\":true", 16) != NULL;
    if (memmem(bytes, (size_t)n, "\"error\"", 7)) { fprintf(stderr, "%.*s\n", (int)n, bytes); exit(1); }
    int count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
        if (h->cmsg_type == SCM_RIGHTS)
            for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++, count++) {
                int fd; memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd); close(fd);
            }
    return count;
}

static void give(int s, int fd, int n, const char *text)
{
    static char control[CMSG_SPACE(sizeof(int) * 253)];
    struct iovec io = { (void *)text, strlen(text) };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
    for (int i = 0; i < n; i++) memcpy(CMSG_DATA(h) + i * (int)sizeof fd, &fd, sizeof fd);
    if (sendmsg(s, &m, MSG_NOSIGNAL) < 0) _exit(0);
}

static void ask(int s, const char *name, const char *text, long ops)
{
    long fds = 0; int more;
    for (long i = 0; i < 2000 && i < ops; i++) { send(s, text, strlen(text), 0); do take(s, &more); while (more); }
    uint64_t start = now();
    for (long i = 0; i < ops; i++) {
        if (send(s, text, strlen(text), 0) < 0) { perror("send"); exit(1); }
        do { int n = take(s, &more); if (n < 0) exit(1); fds += n; } while (more);
    }
    row(name, ops, fds, now() - start);
}

static void floor_of(const char *name, int per, long ops)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) exit(1);
    pid_t child = fork();
    if (!child) {
        char request[4096]; close(pair[0]);
        while (recv(pair[1], request, sizeof request, 0) > 0)
            give(pair[1], 0, per, "{\"parameters\":{\"descriptors\":[{\"name\":\"http\",\"kind\":\"tcp-listener\",\"address\":\"127.0.0.1:8080\",\"index\":0}]}}");
        _exit(0);
    }
    close(pair[1]);
    ask(pair[0], name, "{\"method\":\"org.launchd-cs.Instance.Get\",\"parameters\":{\"names\":[\"http\"]}}", ops);
    close(pair[0]); waitpid(child, 0, 0);
}

#define CALL(method, parameters) "{\"method\":\"org.launchd-cs.Instance." method "\",\"parameters\":" parameters "}"

int main(int argc, char **argv)
{
    const char *number = getenv("LAUNCHD_CHANNEL");
    if (argc < 2 || !number) { fputs("bx-channel owner|asking, as a service\n", stderr); return 2; }
    int s = atoi(number);
    if (!strcmp(argv[1], "owner")) {
        int memory = memfd_create("ring", 0); char text[200];
        snprintf(text, sizeof text, CALL("Publish", "{\"name\":\"ring\",\"number\":%d}"), memory);
        send(s, text, strlen(text), 0);
        if (take(s, NULL) < 0) return 1;
        for (;;) pause();
    }
    ask(s, "first answer", CALL("Request", "{\"service\":\"owner\",\"name\":\"ring\",\"wait\":20000000}"), 1);
    floor_of("C floor, 1 descriptor", 1, 40000);
    ask(s, "Describe", CALL("Describe", "{}"), 40000);
    ask(s, "Get, 1 descriptor", CALL("Get", "{\"names\":[\"one\"]}"), 40000);
    ask(s, "Request, taken", CALL("Request", "{\"service\":\"owner\",\"name\":\"ring\"}"), 40000);
    ask(s, "Request, held", CALL("Request", "{\"service\":\"owner\",\"name\":\"one\"}"), 40000);
    ask(s, "Request, reopened", CALL("Request", "{\"service\":\"owner\",\"name\":\"ring\",\"mode\":\"reopen\"}"), 20000);
    floor_of("C floor, 128 descriptors", 128, 4000);
    ask(s, "Get, 128 descriptors", CALL("Get", "{\"names\":[\"batch\"]}"), 2000);
    ask(s, "Get, 1,000 listeners", CALL("Get", "{\"names\":[\"thousand\"]}"), 100);
    puts("over");
    fflush(stdout);
    for (;;) pause();
}
