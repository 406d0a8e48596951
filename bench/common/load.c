/* Asks an HTTP server from many clients and accounts for every request: each is sent once, and its outcome written down.
 *
 *   load ADDRESS CLIENTS close|keep [RATE [LEDGER]]      ADDRESS is HOST:PORT or a path
 *
 * close: a connection for each request. keep: connections are kept as long as the server keeps them. RATE: requests per second over all
 * clients, evenly spread, and a latency counts from the moment at which the request was due; without it each client asks again as soon as
 * it has its answer.
 *
 * Standard input, a line each: "phase NAME" ends a phase and begins another, end of file ends all. Standard output: a JSON object for each
 * phase, and one for each request that was not answered as it should be. A request goes wrong by being refused, reset, timed out, cut short
 * or answered with something that is not its own. A request on a kept connection that the server closed before a byte of the answer is sent
 * once more on a new one, as RFC 9112, 9.3.1 has it, and counted as "again".
 *
 * LEDGER gets a line for every request, when it is over: its number (each from 1 on once), when it began and how long it took in microseconds,
 * the process that answered ("-": it does not tell), and "ok" or what went wrong.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1024, ROOM = 8192, BUCKETS = 64 * 32 };
enum { IDLE, CONNECTING, WAITING };
static const int64_t LIMIT = 30LL * 1000000000;

struct client {
    int state, fd, reused, repeated, length;
    uint64_t number;
    int64_t began, due;
    char text[ROOM];
};

struct phase {
    uint64_t sent, answered, refused, reset, timed_out, cut, wrong, again, generations, pids;
    int64_t longest, began;
    uint64_t buckets[BUCKETS];
};

static struct client clients[MOST];
static struct phase phase;
static struct sockaddr_storage address;
static socklen_t address_length;
static int queue, client_count, keep, is_over, timer_fd;
static int64_t interval;
static uint64_t numbers;
static char name[64] = "all";
static long last_generation = -1, last_pid = -1;
static FILE *ledger;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* 32 buckets for each power of two: within 3 per cent. */
static int bucket_of(uint64_t value)
{
    if (value < 32)
        return (int)value;
    int power = 63 - __builtin_clzll(value);
    return (power - 4) * 32 + (int)((value >> (power - 5)) & 31);
}

static double quantile(double share)
{
    uint64_t wanted = (uint64_t)(phase.answered * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += phase.buckets[i];
        if (seen > wanted) {
            uint64_t value = i < 32 ? (uint64_t)i : (uint64_t)(32 + i % 32) << (i / 32 - 1);
            return value / 1e6;
        }
    }
    return 0;
}

static void report(void)
{
    double seconds = (now() - phase.began) / 1e9;
    uint64_t ended = phase.answered + phase.refused + phase.reset + phase.timed_out + phase.cut + phase.wrong, open = 0;
    for (int i = 0; i < client_count; i++)
        open += clients[i].state != IDLE;
    printf("{\"phase\":\"%s\",\"seconds\":%.3f,\"sent\":%llu,\"answered\":%llu,\"refused\":%llu,\"reset\":%llu,\"timed_out\":%llu,\"cut\":%llu,"
        "\"wrong\":%llu,\"again\":%llu,\"open\":%llu,\"balances\":%s,\"changes\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"longest_ms\":%.3f}\n",
        name, seconds, (unsigned long long)phase.sent, (unsigned long long)phase.answered, (unsigned long long)phase.refused,
        (unsigned long long)phase.reset, (unsigned long long)phase.timed_out, (unsigned long long)phase.cut, (unsigned long long)phase.wrong,
        (unsigned long long)phase.again, (unsigned long long)open, ended + open == phase.sent ? "true" : "false",
        (unsigned long long)phase.pids, quantile(0.5), quantile(0.99), quantile(0.999), phase.longest / 1e6);
    fflush(stdout);
    memset(&phase, 0, sizeof phase);
    phase.began = now();
    /* Those that are on their way belong to the phase in which they end. */
    phase.sent = open;
}

static void enter(struct client *c, int64_t took, long pid, const char *how)
{
    if (ledger == NULL)
        return;
    if (pid >= 0)
        fprintf(ledger, "%llu %lld %lld %ld %s\n", (unsigned long long)c->number, (long long)(c->began / 1000), (long long)(took / 1000), pid, how);
    else
        fprintf(ledger, "%llu %lld %lld - %s\n", (unsigned long long)c->number, (long long)(c->began / 1000), (long long)(took / 1000), how);
}

static void close_fd(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->reused = 0;
}

static void bad(struct client *c, uint64_t *count, const char *how)
{
    (*count)++;
    enter(c, now() - c->began, -1, how);
    printf("{\"bad\":\"%s\",\"request\":%llu,\"stage\":\"%s\",\"reused\":%d,\"after_ms\":%.3f,\"bytes\":%d,\"generation\":%ld,\"pid\":%ld}\n", how,
        (unsigned long long)c->number, c->state == CONNECTING ? "connect" : "answer", c->reused, (now() - c->began) / 1e6, c->length,
        last_generation, last_pid);
    fflush(stdout);
    close_fd(c);
    c->state = IDLE;
}

static void begin(struct client *c);

static void send_request(struct client *c)
{
    char text[256];
    int length = snprintf(text, sizeof text, "GET /%llu HTTP/1.1\r\nHost: x\r\n%s\r\n", (unsigned long long)c->number, keep ? "" : "Connection: close\r\n");
    c->state = WAITING;
    c->length = 0;
    if (send(c->fd, text, length, MSG_NOSIGNAL) == length)
        return;
    if (c->reused && !c->repeated) {
        phase.again++;
        c->repeated = 1;
        close_fd(c);
        begin(c);
        return;
    }
    bad(c, &phase.reset, "reset");
}

/* Connects if there is no connection, and sends. */
static void begin(struct client *c)
{
    if (c->fd >= 0) {
        c->reused = 1;
        send_request(c);
        return;
    }
    c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    int on = 1;
    if (address.ss_family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    struct epoll_event event = { .data.u32 = (uint32_t)(c - clients), .events = EPOLLIN | EPOLLOUT | EPOLLET };
    int refused = connect(c->fd, (struct sockaddr *)&address, address_length);
    if (refused < 0 && errno != EINPROGRESS) {
        bad(c, errno == ECONNREFUSED || errno == ENOENT || errno == EAGAIN ? &phase.refused : &phase.reset, strerrorname_np(errno));
        return;
    }
    if (epoll_ctl(queue, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
    if (refused == 0)
        send_request(c);
}

static void ask(struct client *c)
{
    c->number = ++numbers;
    c->began = interval > 0 ? c->due : now();
    c->repeated = 0;
    phase.sent++;
    begin(c);
}

/* -1: not complete. 0: complete, the connection stays. 1: complete, and closed. -2: not what was asked for. */
static int judge(struct client *c, int is_end, long *pid)
{
    long generation = -1;
    *pid = -1;
    c->text[c->length] = 0;
    char *head = strstr(c->text, "\r\n\r\n");
    if (head == NULL)
        return -1;
    char *body = head + 4, *field = strcasestr(c->text, "\r\nContent-Length:");
    int chunked = 0;
    long length = -1;
    if (field != NULL && field < head)
        length = atol(field + 17);
    else if ((field = strcasestr(c->text, "\r\nTransfer-Encoding: chunked")) != NULL && field < head + 2)
        chunked = 1;
    if (chunked) {
        if (strstr(body, "\r\n0\r\n\r\n") == NULL)
            return -1;
        body = strstr(body, "\r\n") + 2;
    } else if (length >= 0 ? c->length - (body - c->text) < length : !is_end) {
        return -1;
    }
    char wanted[32];
    snprintf(wanted, sizeof wanted, "/%llu", (unsigned long long)c->number);
    size_t wanted_length = strlen(wanted);
    char *found = strstr(body, wanted);
    if (strncmp(c->text, "HTTP/1.", 7) != 0 || strncmp(c->text + 8, " 200", 4) != 0 || found == NULL || strchr(" \r\n", found[wanted_length]) == NULL)
        return -2;
    if (sscanf(found + wanted_length, " %ld %ld", &generation, pid) == 2 && *pid != last_pid) {
        phase.pids++;
        last_pid = *pid;
        last_generation = generation;
    }
    char *closing = strcasestr(c->text, "\r\nConnection: close");
    return (closing != NULL && closing < head) || is_end || c->text[7] == '0' ? 1 : 0;
}

static void finish(struct client *c, int closes, long pid)
{
    int64_t took = now() - c->began;
    enter(c, took, pid, "ok");
    phase.answered++;
    phase.buckets[bucket_of((uint64_t)took)]++;
    if (took > phase.longest)
        phase.longest = took;
    c->state = IDLE;
    if (closes || !keep)
        close_fd(c);
}

static void go_on(struct client *c, uint32_t events)
{
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
            return;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            bad(c, error == ECONNREFUSED ? &phase.refused : error == ETIMEDOUT ? &phase.timed_out : &phase.reset, strerrorname_np(error));
            return;
        }
        send_request(c);
    }
    if (c->state == IDLE && (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR | EPOLLIN)) != 0) {
        close_fd(c); /* the server has closed a connection that was kept and is idle: nothing was asked on it */
        return;
    }
    while (c->state == WAITING) {
        long pid;
        ssize_t got = recv(c->fd, c->text + c->length, ROOM - 1 - c->length, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0 || (got == 0 && judge(c, 1, &pid) < 0)) {
            if (c->reused && !c->repeated && c->length == 0) {
                phase.again++;
                c->repeated = 1;
                close_fd(c);
                begin(c);
                return;
            }
            bad(c, c->length == 0 ? &phase.reset : &phase.cut, got < 0 ? strerrorname_np(errno) : "closed");
            return;
        }
        c->length += (int)got;
        int verdict = judge(c, got == 0, &pid);
        if (verdict >= 0)
            finish(c, verdict, pid);
        else if (verdict == -2)
            bad(c, &phase.wrong, "wrong");
    }
}

/* Sends what is due; gives up what has waited for too long; sets the timer to the next of both. */
static void turn(void)
{
    int64_t at = now(), next = at + LIMIT;
    for (int i = 0; i < client_count; i++) {
        struct client *c = &clients[i];
        if (c->state != IDLE && at - c->began > LIMIT)
            bad(c, &phase.timed_out, "timed out");
        while (c->state == IDLE && !is_over && (interval == 0 || c->due <= at)) {
            ask(c);
            if (interval > 0)
                c->due += interval;
            else if (c->state == IDLE)
                break; /* it failed at once: in its next turn, so that a closed port is no endless loop */
        }
        if (interval > 0 && c->due < next)
            next = c->due;
    }
    struct itimerspec due = { .it_value = { next / 1000000000, next % 1000000000 } };
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &due, NULL);
}

static void parse_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (text[0] == '/' || colon == NULL) {
        struct sockaddr_un *u = (struct sockaddr_un *)&address;
        u->sun_family = AF_UNIX;
        strncpy(u->sun_path, text, sizeof u->sun_path - 1);
        address_length = sizeof *u;
        return;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)&address;
    char host[64] = "";
    memcpy(host, text, (size_t)(colon - text) < sizeof host - 1 ? (size_t)(colon - text) : sizeof host - 1);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        die("address");
    address_length = sizeof *in;
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "usage: load ADDRESS CLIENTS close|keep [RATE [LEDGER]]\n");
        return 64;
    }
    parse_address(words[1]);
    client_count = atoi(words[2]) < MOST ? atoi(words[2]) : MOST;
    keep = strcmp(words[3], "keep") == 0;
    double rate = count > 4 ? atof(words[4]) : 0;
    if (count > 5 && (ledger = fopen(words[5], "we")) == NULL)
        die(words[5]);
    interval = rate > 0 ? (int64_t)(1e9 * client_count / rate) : 0;
    queue = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event on_timer = { .events = EPOLLIN, .data.u32 = MOST }, on_input = { .events = EPOLLIN, .data.u32 = MOST + 1 };
    epoll_ctl(queue, EPOLL_CTL_ADD, timer_fd, &on_timer);
    if (epoll_ctl(queue, EPOLL_CTL_ADD, 0, &on_input) < 0)
        die("standard input");
    phase.began = now();
    for (int i = 0; i < client_count; i++) {
        clients[i].fd = -1;
        clients[i].due = phase.began + interval * i / client_count;
    }
    struct epoll_event events[256];
    while (1) {
        turn();
        int busy = 0;
        for (int i = 0; i < client_count; i++)
            busy += clients[i].state != IDLE;
        if (is_over && busy == 0)
            break;
        int ready = epoll_wait(queue, events, 256, is_over ? 1000 : -1);
        for (int i = 0; i < ready; i++) {
            uint32_t at = events[i].data.u32;
            if (at < MOST) {
                go_on(&clients[at], events[i].events);
            } else if (at == MOST) {
                uint64_t fired;
                if (read(timer_fd, &fired, sizeof fired) < 0 && errno != EAGAIN)
                    die("timer");
            } else {
                char line[128];
                ssize_t got = read(0, line, sizeof line - 1);
                if (got <= 0) {
                    is_over = 1;
                    epoll_ctl(queue, EPOLL_CTL_DEL, 0, NULL);
                } else {
                    line[got] = 0;
                    report();
                    sscanf(line, "phase %63s", name);
                }
            }
        }
    }
    report();
    if (ledger != NULL && fclose(ledger) != 0)
        die("the ledger");
    return 0;
}
