/* See launchd.h. With -DLAUNCHD_MAIN it is a program: "launchd SERVICE NAME" prints a sibling's published file. */
#define _GNU_SOURCE
#include "launchd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int is_ours(const char *variable)
{
    const char *pid = getenv(variable);
    return pid != NULL && strtol(pid, NULL, 10) == getpid();
}

static int number_of(const char *variable, int least)
{
    char *end;
    const char *text = getenv(variable);
    long number;
    if (text == NULL)
        return -ENOENT;
    number = strtol(text, &end, 10);
    return end == text || *end != '\0' || number < least || number > 1 << 20 ? -EINVAL : (int)number;
}

static int close_on_exec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0;
}

int launchd_listen_fds(void)
{
    int count = is_ours("LISTEN_PID") ? number_of("LISTEN_FDS", 1) : 0;
    if (count == -ENOENT)
        return 0;
    for (int i = 0; i < count; i++) {
        int refused = close_on_exec(LAUNCHD_FIRST + i);
        if (refused < 0)
            return refused;
    }
    return count;
}

int launchd_notify(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = path == NULL ? 0 : strlen(path);
    int fd, result;
    if (length == 0)
        return 0;
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    length += offsetof(struct sockaddr_un, sun_path) + (path[0] == '/');
    result = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&address, (socklen_t)length) < 0 ? -errno : 1;
    close(fd);
    return result;
}

int launchd_channel(void)
{
    int fd = is_ours("LAUNCHD_PID") ? number_of("LAUNCHD_CHANNEL", LAUNCHD_FIRST) : -ENOTCONN;
    int refused = fd < 0 ? fd : close_on_exec(fd);
    return refused == -ENOENT ? -ENOTCONN : refused < 0 ? refused : fd;
}

/* One packet; what does not fit into fds is closed. */
static int receive(int channel, char *text, int *fds, int fd_room)
{
    union { struct cmsghdr align; char room[CMSG_SPACE(LAUNCHD_MOST_FDS * sizeof(int))]; } control;
    struct iovec bytes = { text, LAUNCHD_PACKET };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    int count = 0;
    ssize_t length;
    do
        length = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length <= 0)
        return length < 0 ? -errno : -EPIPE;
    text[length] = '\0';
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (count < fd_room)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    if ((message.msg_flags & MSG_CTRUNC) == 0)
        return count;
    while (count > 0)
        close(fds[--count]);
    return -EMFILE;
}

int launchd_call(int channel, const char *request, char *text, int *fds, int fd_room)
{
    int count;
    if (send(channel, request, strlen(request), MSG_NOSIGNAL) < 0)
        return -errno;
    do {
        count = receive(channel, text, fds, fd_room);
        /* Only an event's parameters begin with "event". */
    } while (count >= 0 && strncmp(text, "{\"parameters\":{\"event\":", 23) == 0);
    return count >= 0 && strncmp(text, "{\"error\":", 9) == 0 ? -EREMOTEIO : count;
}

#ifdef LAUNCHD_MAIN
int main(int argc, char **argv)
{
    static char text[LAUNCHD_PACKET + 1];
    char request[512], piece[4096];
    int fd, channel = launchd_channel(), result = channel;
    ssize_t length;
    off_t at = 0;
    if (argc != 3)
        return 64;
    snprintf(request, sizeof request,
        "{\"method\":\"org.launchd-cs.Instance.Request\",\"parameters\":{\"service\":\"%s\",\"name\":\"%s\",\"wait\":10000000}}", argv[1], argv[2]);
    if (channel >= 0)
        result = launchd_call(channel, request, text, &fd, 1);
    if (result != 1) {
        fprintf(stderr, "no %s/%s: %s\n", argv[1], argv[2], result == -EREMOTEIO ? text : result < 0 ? strerror(-result) : text);
        return 1;
    }
    /* The offset is the owner's as well: read at places of our own. */
    while ((length = pread(fd, piece, sizeof piece, at)) > 0) {
        fwrite(piece, 1, (size_t)length, stdout);
        at += length;
    }
    launchd_notify("STATUS=done");
    return length < 0;
}
#endif
