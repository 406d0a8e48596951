// One service of swarm.py that tries to make its supervisor wait. Usage: hostile KIND.
//   pipe    leaves a pipe in its notify socket whose lock another thread keeps for ever: whoever closes it waits
//   output  keeps the lock of its own output's pipe for ever, by splice(2) from a socket to which nobody writes
//   helper  the same, in a process that has left the session and the environment
//   locks   leaves files with thousands of record locks in its notify socket: each close goes through them all
//   store   fills its store of descriptors with event counters, and goes on sending more for some seconds
//   reader  reads its input by splice(2) into a socket from which nobody reads: whoever writes to that pipe waits
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { most = 250 }; // descriptors in one message (unix(7): 253)

static int in, out; // a pair of sockets: nobody writes to one, nobody reads from the other

static int notify_socket(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    strncpy(to.sun_path, getenv("NOTIFY_SOCKET"), sizeof to.sun_path - 1);
    if (connect(s, (struct sockaddr *)&to, sizeof to))
        exit(1);
    return s;
}

static void tell(int s, const char *text, const int *fds, int count)
{
    char control[CMSG_SPACE(most * sizeof(int))];
    struct iovec io = {(void *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (count > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(h), fds, count * sizeof(int));
    }
    (void)!sendmsg(s, &m, 0);
}

static void *keep(void *pipe)
{
    splice(in, NULL, *(int *)pipe, NULL, 4096, 0);
    return NULL;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void leave_pipe(void)
{
    static int ends[2];
    pthread_t thread;
    if (pipe(ends) || pthread_create(&thread, NULL, keep, &ends[1]))
        exit(1);
    usleep(200000); // until the thread is in its call: nothing tells
    tell(notify_socket(), "X=1", ends, 1);
    close(ends[0]);
}

static void leave_locks(void)
{
    FILE *file = tmpfile();
    int fds[most], s = notify_socket();
    for (long i = 10000; i > 0; i--) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 2, .l_len = 1};
        if (!file || fcntl(fileno(file), F_SETLK, &lock))
            exit(1);
    }
    for (int i = 0; i < most; i++)
        fds[i] = fileno(file);
    for (int i = 0; i < 30; i++)
        tell(s, "X=1", fds, most);
}

static void flood_store(int seconds)
{
    struct rlimit many = {4096, 4096};
    int fds[most], s = notify_socket();
    setrlimit(RLIMIT_NOFILE, &many);
    time_t end = time(NULL) + seconds;
    for (int round = 0; round < 6 || time(NULL) < end; round++) {
        if (round < 6) {
            for (int i = 0; i < most; i++)
                fds[i] = eventfd(0, 0);
        }
        tell(s, "FDSTORE=1\nFDNAME=x", fds, most);
        if (round < 5) {
            for (int i = 0; i < most; i++)
                close(fds[i]);
        }
    }
}

int main(int count, char **words)
{
    const char *kind = count > 1 ? words[1] : "";
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    in = pair[0];
    out = pair[1];
    if (getenv("NOTIFY_SOCKET"))
        tell(notify_socket(), "READY=1", NULL, 0);
    if (!strcmp(kind, "helper")) {
        if (fork() == 0) {
            char *nothing[] = {NULL}, *next[] = {words[0], "output", NULL};
            setsid();
            execve(words[0], next, nothing);
            return 1;
        }
    } else if (!strcmp(kind, "pipe")) {
        leave_pipe();
    } else if (!strcmp(kind, "output")) {
        (void)!write(1, "copying\n", 8);
        splice(in, NULL, 1, NULL, 4096, 0);
    } else if (!strcmp(kind, "locks")) {
        leave_locks();
    } else if (!strcmp(kind, "store")) {
        flood_store(8);
    } else if (!strcmp(kind, "reader")) {
        while (splice(0, NULL, out, NULL, 65536, 0) > 0)
            ;
    }
    wait_for_ever();
}
