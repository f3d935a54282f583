/* Keeps, beside a directory, what a power cut would leave of it.
 *
 * Of a file only what was there at its last fsync or fdatasync is durable: sync_file_range hands pages to the kernel and
 * no further. Of a directory only the names that were there at its last fsync are. What becomes durable is written to
 *   $POWER_CUT_SHADOW/<inode>.file    a file's bytes
 *   $POWER_CUT_SHADOW/<inode>.dir     a directory's names, a line each: inode, 'd' or 'f', name
 * and whoever cuts the power builds the directory anew from these, beginning at the inode of $POWER_CUT_DIRECTORY.
 * With POWER_CUT_LIES=yes the drive lies: no sync makes anything durable.
 *
 * It errs to the harsh side: O_SYNC and syncfs make nothing durable here. Mapped writes are not seen. */
#include "interpose.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/sendfile.h>

enum { RANGES = 64 };

struct range {
    off_t from, to;
};

/* A file with bytes that are not durable. */
struct file {
    struct file *next;
    ino_t inode;
    off_t size;
    int count;
    struct range ranges[RANGES];
};

static struct file *files;
static pthread_mutex_t state = PTHREAD_MUTEX_INITIALIZER;
/* Held over a whole sync: of two syncs of one file the second must not return before the first is on record. */
static pthread_mutex_t syncing = PTHREAD_MUTEX_INITIALIZER;

static bool is_watched(int descriptor) {
    char path[PATH_MAX];
    path_of(descriptor, path);
    return is_under(path, setting("POWER_CUT_DIRECTORY"));
}

static void shadow(char path[PATH_MAX], ino_t inode, const char *kind) {
    snprintf(path, PATH_MAX, "%s/%lu.%s", setting("POWER_CUT_SHADOW"), (unsigned long)inode, kind);
}

/* The entry of a file; `state` is held. */
static struct file *entry(ino_t inode) {
    for (struct file *file = files; file; file = file->next) {
        if (file->inode == inode) {
            return file;
        }
    }
    struct file *file = calloc(1, sizeof *file);
    char path[PATH_MAX];
    struct stat durable;
    shadow(path, inode, "file");
    file->inode = inode;
    file->size = stat(path, &durable) == 0 ? durable.st_size : 0;
    file->next = files;
    files = file;
    return file;
}

static void add(struct file *file, off_t from, off_t to) {
    for (int at = 0; at < file->count; at++) {
        struct range *range = &file->ranges[at];
        if (from <= range->to && to >= range->from) {
            range->from = from < range->from ? from : range->from;
            range->to = to > range->to ? to : range->to;
            return;
        }
    }
    if (file->count == RANGES) {
        /* One range over all of them stands for more than was written, but only for bytes that were durable already. */
        for (int at = 1; at < RANGES; at++) {
            struct range *range = &file->ranges[at], *all = &file->ranges[0];
            all->from = range->from < all->from ? range->from : all->from;
            all->to = range->to > all->to ? range->to : all->to;
        }
        file->count = 1;
        add(file, from, to);
        return;
    }
    file->ranges[file->count++] = (struct range){from, to};
}

/* Bytes were written to a file. */
static void written(int descriptor, off_t from, ssize_t length) {
    struct stat found;
    if (length <= 0 || !is_watched(descriptor) || fstat(descriptor, &found) || !S_ISREG(found.st_mode)) {
        return;
    }
    pthread_mutex_lock(&state);
    struct file *file = entry(found.st_ino);
    add(file, from, from + length);
    if (from + length > file->size) {
        file->size = from + length;
    }
    pthread_mutex_unlock(&state);
}

/* Bytes were written up to where the descriptor stands now. */
static void written_in_turn(int descriptor, ssize_t length) {
    off_t end = length > 0 ? lseek(descriptor, 0, SEEK_CUR) : -1;
    if (end >= length) {
        written(descriptor, end - length, length);
    }
}

/* A file got this size, and anything in it may be new. */
static void resized(int descriptor, off_t size) {
    struct stat found;
    if (!is_watched(descriptor) || fstat(descriptor, &found) || !S_ISREG(found.st_mode)) {
        return;
    }
    pthread_mutex_lock(&state);
    struct file *file = entry(found.st_ino);
    add(file, 0, size > file->size ? size : file->size);
    file->size = size;
    pthread_mutex_unlock(&state);
}

static void make_file_durable(int descriptor, const struct file *dirty) {
    char path[PATH_MAX], buffer[1 << 16];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int from = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    shadow(path, dirty->inode, "file");
    int to = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int at = 0; at < dirty->count; at++) {
        off_t position = dirty->ranges[at].from;
        off_t end = dirty->ranges[at].to < dirty->size ? dirty->ranges[at].to : dirty->size;
        while (position < end) {
            size_t wanted = (size_t)(end - position) < sizeof buffer ? (size_t)(end - position) : sizeof buffer;
            ssize_t length = pread(from, buffer, wanted, position);
            if (length <= 0 || REAL(pwrite)(to, buffer, (size_t)length, position) != length) {
                break;
            }
            position += length;
        }
    }
    if (REAL(ftruncate)(to, dirty->size)) {
        abort();
    }
    close(from);
    close(to);
}

static void make_names_durable(int descriptor, ino_t inode) {
    char path[PATH_MAX], whole[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    DIR *directory = opendir(path);
    shadow(path, inode, "names");
    FILE *names = fopen(path, "we");
    if (!directory || !names) {
        abort();
    }
    for (struct dirent *name; (name = readdir(directory));) {
        if (strcmp(name->d_name, ".") && strcmp(name->d_name, "..")) {
            char type = name->d_type == DT_DIR ? 'd' : 'f';
            fprintf(names, "%lu %c %s\n", (unsigned long)name->d_ino, type, name->d_name);
        }
    }
    fclose(names);
    closedir(directory);
    shadow(whole, inode, "dir");
    REAL(rename)(path, whole);
}

static int synced(int descriptor, int (*sync)(int)) {
    struct stat found;
    if (!is_watched(descriptor) || fstat(descriptor, &found) || !strcmp(setting("POWER_CUT_LIES"), "yes")) {
        return sync(descriptor);
    }
    pthread_mutex_lock(&syncing);
    struct file dirty = {.inode = found.st_ino};
    if (S_ISREG(found.st_mode)) {
        pthread_mutex_lock(&state);
        struct file *file = entry(found.st_ino);
        dirty = *file;
        file->count = 0;
        pthread_mutex_unlock(&state);
    }
    int result = sync(descriptor);
    if (result == 0 && S_ISREG(found.st_mode)) {
        make_file_durable(descriptor, &dirty);
    } else if (result == 0 && S_ISDIR(found.st_mode)) {
        make_names_durable(descriptor, found.st_ino);
    }
    pthread_mutex_unlock(&syncing);
    return result;
}

/* Keeps the inode of a file that is about to lose its name, so that no other file gets its number. */
static void pin(int directory, const char *path) {
    (void)!REAL(openat)(directory, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

int fsync(int descriptor) { return synced(descriptor, REAL(fsync)); }
int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)); }

ssize_t write(int descriptor, const void *bytes, size_t length) {
    ssize_t result = REAL(write)(descriptor, bytes, length);
    written_in_turn(descriptor, result);
    return result;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    ssize_t result = REAL(writev)(descriptor, parts, count);
    written_in_turn(descriptor, result);
    return result;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t position) {
    ssize_t result = REAL(pwrite)(descriptor, bytes, length, position);
    written(descriptor, position, result);
    return result;
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t position) {
    ssize_t result = REAL(pwritev)(descriptor, parts, count, position);
    written(descriptor, position, result);
    return result;
}
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));

ssize_t copy_file_range(int from, off_t *start, int to, off_t *position, size_t length, unsigned flags) {
    ssize_t result = REAL(copy_file_range)(from, start, to, position, length, flags);
    if (position) {
        written(to, *position - result, result);
    } else {
        written_in_turn(to, result);
    }
    return result;
}

ssize_t sendfile(int to, int from, off_t *start, size_t length) {
    ssize_t result = REAL(sendfile)(to, from, start, length);
    written_in_turn(to, result);
    return result;
}
ssize_t sendfile64(int, int, off_t *, size_t) __attribute__((alias("sendfile")));

int ftruncate(int descriptor, off_t size) {
    int result = REAL(ftruncate)(descriptor, size);
    if (result == 0) {
        resized(descriptor, size);
    }
    return result;
}
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

int fallocate(int descriptor, int mode, off_t position, off_t length) {
    int result = REAL(fallocate)(descriptor, mode, position, length);
    struct stat found;
    if (result == 0 && fstat(descriptor, &found) == 0) {
        resized(descriptor, found.st_size);
    }
    return result;
}
int fallocate64(int, int, off_t, off_t) __attribute__((alias("fallocate")));

int posix_fallocate(int descriptor, off_t position, off_t length) {
    int result = REAL(posix_fallocate)(descriptor, position, length);
    struct stat found;
    if (result == 0 && fstat(descriptor, &found) == 0) {
        resized(descriptor, found.st_size);
    }
    return result;
}
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));

static int opened(int descriptor, int flags) {
    if (descriptor >= 0 && (flags & O_TRUNC)) {
        resized(descriptor, 0);
    }
    return descriptor;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(REAL(open)(path, flags, mode), flags);
}
int open64(const char *, int, ...) __attribute__((alias("open")));

int openat(int directory, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(REAL(openat)(directory, path, flags, mode), flags);
}
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *, mode_t) __attribute__((alias("creat")));

int unlink(const char *path) {
    pin(AT_FDCWD, path);
    return REAL(unlink)(path);
}

int rmdir(const char *path) {
    pin(AT_FDCWD, path);
    return REAL(rmdir)(path);
}

int unlinkat(int directory, const char *path, int flags) {
    pin(directory, path);
    return REAL(unlinkat)(directory, path, flags);
}

int rename(const char *from, const char *to) {
    pin(AT_FDCWD, to);
    return REAL(rename)(from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    pin(to_directory, to);
    return REAL(renameat)(from_directory, from, to_directory, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    pin(to_directory, to);
    return REAL(renameat2)(from_directory, from, to_directory, to, flags);
}
