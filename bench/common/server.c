/* A small HTTP/1.1 server that knows how to leave: takes listener 3, says READY=1, and on SIGTERM stops accepting and finishes what it has.
 *
 * Each answer is "PATH GENERATION PID", so that a client can account for every request. Options stand for broken releases:
 *   --ready-after MS   says READY=1 so late          --never-ready    serves, but never says it
 *   --die-after MS     ends with 9 so long after     --hang           neither serves nor is ready nor ends on SIGTERM
 *                      it said READY=1
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 4096, ROOM = 4096, LINGER_MS = 2000 };

struct client { int used; int length; char text[ROOM]; };

static struct client clients[MOST];
static int queue, open_count, leaving;
static const char *generation;

static void fail(const char *what)
{
    fprintf(stderr, "server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static int timer(long ms)
{
    struct itimerspec due = { .it_value = { ms / 1000, ms % 1000 * 1000000 + 1 } };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0 || timerfd_settime(fd, 0, &due, NULL) < 0)
        fail("timer");
    watch(fd);
    return fd;
}

static void say_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (path == NULL || fd < 0 || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(path);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0;
    if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, length) < 0)
        fail("notify");
    close(fd);
}

static void drop(int fd)
{
    clients[fd].used = 0;
    open_count--;
    close(fd);
}

/* Answers what is complete. The connection may be closed then. */
static void answer(int fd)
{
    struct client *c = &clients[fd];
    char *end;
    while ((end = memmem(c->text, c->length, "\r\n\r\n", 4)) != NULL) {
        char body[512], out[1024], *path = memchr(c->text, ' ', c->length), *path_end;
        int request = end + 4 - c->text;
        if (path == NULL || (path_end = memchr(path + 1, ' ', end - path)) == NULL) {
            drop(fd);
            return;
        }
        int last = leaving || memmem(c->text, request, "Connection: close", 17) != NULL;
        int length = snprintf(body, sizeof body, "%.*s %s %d\n", (int)(path_end - path - 1), path + 1, generation, (int)getpid());
        int all = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", length, last ? "Connection: close\r\n" : "", body);
        if (send(fd, out, all, MSG_NOSIGNAL) != all || last) {
            drop(fd);
            return;
        }
        c->length -= request;
        memmove(c->text, c->text + request, c->length);
    }
}

static void receive(int fd)
{
    struct client *c = &clients[fd];
    ssize_t got = recv(fd, c->text + c->length, ROOM - c->length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || c->length + got == ROOM) {
        drop(fd);
        return;
    }
    c->length += got;
    answer(fd);
}

static void take(int listener)
{
    /* A few at a time, so that those who are there already have their turn. */
    for (int i = 0; i < 8; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return; /* another generation has the same listener and was faster */
        if (fd >= MOST) {
            close(fd);
            return;
        }
        clients[fd].used = 1;
        clients[fd].length = 0;
        open_count++;
        watch(fd);
    }
}

int main(int count, char **words)
{
    long ready_after = 0, die_after = -1;
    int never_ready = 0, hang = 0, listener = 3;
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--never-ready") == 0)
            never_ready = 1;
        else if (strcmp(words[i], "--hang") == 0)
            hang = never_ready = 1;
        else if (strcmp(words[i], "--ready-after") == 0 && i + 1 < count)
            ready_after = atol(words[++i]);
        else if (strcmp(words[i], "--die-after") == 0 && i + 1 < count)
            die_after = atol(words[++i]);
    }
    if (hang) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    }
    generation = getenv("LAUNCHD_GENERATION") ? getenv("LAUNCHD_GENERATION") : "0";
    queue = epoll_create1(EPOLL_CLOEXEC);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    int signals = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    watch(signals);
    watch(listener);
    int ready_timer = -1, die_timer = -1;
    if (ready_after > 0)
        ready_timer = timer(ready_after);
    else if (!never_ready) {
        say_ready();
        die_timer = die_after >= 0 ? timer(die_after) : -1;
    }
    struct epoll_event events[64];
    while (!leaving || open_count > 0) {
        int ready = epoll_wait(queue, events, 64, leaving ? LINGER_MS : -1);
        if (ready == 0)
            break; /* who is still there has nothing to say */
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener && !leaving) {
                take(listener);
            } else if (fd == signals && !leaving) {
                /* What the kernel has queued belongs to whoever accepts it: the successor has the same listener. */
                leaving = 1;
                epoll_ctl(queue, EPOLL_CTL_DEL, listener, NULL);
                epoll_ctl(queue, EPOLL_CTL_DEL, signals, NULL);
            } else if (fd == ready_timer) {
                say_ready();
                close(ready_timer);
                ready_timer = -1;
                die_timer = die_after >= 0 ? timer(die_after) : -1;
            } else if (fd == die_timer) {
                fprintf(stderr, "server: planted death\n");
                _exit(9);
            } else if (fd < MOST && clients[fd].used) {
                receive(fd);
            }
        }
    }
    return 0;
}
