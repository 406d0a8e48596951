/* A program's end of its supervisor, launchd-cs or systemd: no library but libc, no memory allocated. Every function returns a negative
 * error number where it fails; 0 descriptors and "nobody to tell" are no failures. */
#ifndef LAUNCHD_H
#define LAUNCHD_H

#include <stddef.h>

enum { LAUNCHD_FIRST = 3, LAUNCHD_PACKET = 65536, LAUNCHD_MOST_FDS = 253 };

/* How many descriptors were inherited, from LAUNCHD_FIRST on; close-on-exec from now on. sd_listen_fds(3) */
int launchd_listen_fds(void);

/* Sends one notification, such as "READY=1\nSTATUS=serving"; 1: sent, 0: nobody wants it. sd_notify(3) */
int launchd_notify(const char *lines);

/* The channel's descriptor; -ENOTCONN without launchd-cs. */
int launchd_channel(void);

/* Sends a request and reads its answer into text (LAUNCHD_PACKET + 1 bytes) as JSON; fds gets at most fd_room descriptors, which the
 * caller closes. Returns how many came; -EREMOTEIO: text is an error of the supervisor. Events are passed over. */
int launchd_call(int channel, const char *request, char *text, int *fds, int fd_room);

#endif
