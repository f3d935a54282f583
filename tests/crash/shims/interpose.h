/* What the shims share: how to reach libc's own function, and which file is meant.
 * It decides nothing about faults; each shim does. */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next definition of a function: libc's. Looked up once per place of use. */
#define REAL(name)                                                 \
    ({                                                             \
        static __typeof__(&name) found;                            \
        if (!found) {                                              \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);    \
        }                                                          \
        found;                                                     \
    })

/* The path that a descriptor was opened at; empty if it has none. */
static inline void path_of(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
}

/* Whether a path lies under a directory. */
static inline bool is_under(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return length > 0 && strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static inline size_t length_of(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int part = 0; part < count; part++) {
        length += parts[part].iov_len;
    }
    return length;
}

static inline const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

#endif
