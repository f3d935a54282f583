/* Kills the process with SIGKILL just before or just after a call that was named from outside.
 *
 *   FAULT_CALL    write            pwrite or write to a file
 *                 flush            sync_file_range
 *                 sync             fdatasync or fsync
 *                 send             bytes handed to a socket
 *   FAULT_TARGET  the file's name, or a text that the sent bytes contain
 *   FAULT_WHEN    before | after
 *   FAULT_COUNT   the how-many-eth such call
 *   FAULT_FIRST   calls count only once bytes with this text were sent; empty: from the start
 *
 * A send is looked at by itself: a text that is cut over two sends is not found. */
#include "interpose.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

static atomic_long seen;
static atomic_bool armed;

static bool contains(const struct iovec *parts, int count, const char *text) {
    for (int part = 0; part < count; part++) {
        if (*text && memmem(parts[part].iov_base, parts[part].iov_len, text, strlen(text))) {
            return true;
        }
    }
    return false;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

/* Whether this call is the one, before it is made. */
static bool is_next(const char *call) {
    if (strcmp(call, setting("FAULT_CALL")) || (*setting("FAULT_FIRST") && !armed)) {
        return false;
    }
    bool next = atomic_fetch_add(&seen, 1) + 1 == atol(setting("FAULT_COUNT"));
    if (next && !strcmp(setting("FAULT_WHEN"), "before")) {
        die();
    }
    return next;
}

static bool is_target(int descriptor) {
    char path[PATH_MAX];
    path_of(descriptor, path);
    const char *name = strrchr(path, '/');
    return name && !strcmp(name + 1, setting("FAULT_TARGET"));
}

static bool on_file(int descriptor, const char *call) { return is_target(descriptor) && is_next(call); }

static bool on_socket(const struct iovec *parts, int count) {
    return contains(parts, count, setting("FAULT_TARGET")) && is_next("send");
}

static bool is_socket(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) == 0 && S_ISSOCK(found.st_mode);
}

/* After a call: the end, if it was the one; else it may have been what the counting waits for. */
static ssize_t done(bool next, ssize_t result, const struct iovec *parts, int count) {
    if (next) {
        die();
    }
    if (parts && contains(parts, count, setting("FAULT_FIRST"))) {
        armed = true;
    }
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    bool socket = is_socket(descriptor);
    bool next = socket ? on_socket(&part, 1) : on_file(descriptor, "write");
    return done(next, REAL(write)(descriptor, bytes, length), socket ? &part : NULL, 1);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    bool socket = is_socket(descriptor);
    bool next = socket ? on_socket(parts, count) : on_file(descriptor, "write");
    return done(next, REAL(writev)(descriptor, parts, count), socket ? parts : NULL, count);
}

ssize_t send(int descriptor, const void *bytes, size_t length, int flags) {
    struct iovec part = {(void *)bytes, length};
    bool next = on_socket(&part, 1);
    return done(next, REAL(send)(descriptor, bytes, length, flags), &part, 1);
}

ssize_t sendto(int descriptor, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    struct iovec part = {(void *)bytes, length};
    bool next = on_socket(&part, 1);
    return done(next, REAL(sendto)(descriptor, bytes, length, flags, to, size), &part, 1);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    bool next = on_socket(message->msg_iov, (int)message->msg_iovlen);
    return done(next, REAL(sendmsg)(descriptor, message, flags), message->msg_iov, (int)message->msg_iovlen);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t position) {
    bool next = on_file(descriptor, "write");
    return done(next, REAL(pwrite)(descriptor, bytes, length, position), NULL, 0);
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t position) {
    bool next = on_file(descriptor, "write");
    return done(next, REAL(pwritev)(descriptor, parts, count, position), NULL, 0);
}
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));

int fsync(int descriptor) {
    bool next = on_file(descriptor, "sync");
    return (int)done(next, REAL(fsync)(descriptor), NULL, 0);
}

int fdatasync(int descriptor) {
    bool next = on_file(descriptor, "sync");
    return (int)done(next, REAL(fdatasync)(descriptor), NULL, 0);
}

int sync_file_range(int descriptor, off_t from, off_t length, unsigned flags) {
    bool next = on_file(descriptor, "flush");
    return (int)done(next, REAL(sync_file_range)(descriptor, from, length, flags), NULL, 0);
}
