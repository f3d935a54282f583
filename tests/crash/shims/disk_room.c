/* A disk of a size that is told from outside, for the files under one directory.
 *
 * $DISK_ROOM_FILE holds the size in bytes: eight bytes, a number as the machine writes it. It is mapped, so whoever
 * writes it makes room at once. Growth beyond it fails with ENOSPC, after as much of a write as fits, as on a real disk;
 * writing over what is there needs no room. statvfs and fstatvfs tell the same. The sizes of files count, not their blocks.
 * Raw system calls pass by it. */
#include "interpose.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

enum { BLOCK = 4096 };

static const volatile int64_t *size;
static int64_t used;
/* Held while a file may grow, so that two writers don't take the same room. */
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static int count(const char *path, const struct stat *found, int type, struct FTW *place) {
    (void)path, (void)place;
    used += type == FTW_F ? found->st_size : 0;
    return 0;
}

__attribute__((constructor)) static void measure(void) {
    int descriptor = REAL(open)(setting("DISK_ROOM_FILE"), O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
        abort();
    }
    close(descriptor);
    nftw(setting("DISK_ROOM_DIRECTORY"), count, 16, FTW_PHYS);
    size = mapped;
}

static int64_t room(void) { return *size > used ? *size - used : 0; }

/* Whether a descriptor is a file of the disk, and how large it is. */
static bool is_on_disk(int descriptor, int64_t *length) {
    char path[PATH_MAX];
    struct stat found;
    if (!size || fstat(descriptor, &found) || !S_ISREG(found.st_mode)) {
        return false;
    }
    path_of(descriptor, path);
    *length = found.st_size;
    return is_under(path, setting("DISK_ROOM_DIRECTORY"));
}

/* How much of a write fits; `growing` is held. */
static size_t fitting(int64_t length_now, int64_t position, size_t length) {
    int64_t growth = position + (int64_t)length - length_now;
    int64_t missing = growth - room();
    return growth <= 0 || missing <= 0 ? length : (missing >= (int64_t)length ? 0 : length - (size_t)missing);
}

static void count_growth(int descriptor, int64_t before) {
    struct stat found;
    if (fstat(descriptor, &found) == 0) {
        used += found.st_size - before;
    }
}

/* A write to the disk, cut to what fits. */
static ssize_t write_fitting(int descriptor, const void *bytes, size_t length, off_t position, bool in_turn) {
    int64_t before;
    if (!is_on_disk(descriptor, &before)) {
        return in_turn ? REAL(write)(descriptor, bytes, length) : REAL(pwrite)(descriptor, bytes, length, position);
    }
    pthread_mutex_lock(&growing);
    ssize_t result = -1;
    is_on_disk(descriptor, &before);
    if (in_turn) {
        position = fcntl(descriptor, F_GETFL) & O_APPEND ? before : lseek(descriptor, 0, SEEK_CUR);
    }
    size_t fits = fitting(before, position, length);
    if (fits == 0 && length > 0) {
        errno = ENOSPC;
    } else {
        result = in_turn ? REAL(write)(descriptor, bytes, fits) : REAL(pwrite)(descriptor, bytes, fits, position);
        count_growth(descriptor, before);
    }
    pthread_mutex_unlock(&growing);
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    return write_fitting(descriptor, bytes, length, 0, true);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t position) {
    return write_fitting(descriptor, bytes, length, position, false);
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

ssize_t writev(int descriptor, const struct iovec *parts, int count_of_parts) {
    int64_t before;
    if (!is_on_disk(descriptor, &before)) {
        return REAL(writev)(descriptor, parts, count_of_parts);
    }
    /* A short count is what a caller must expect of any writev, so the first part alone is one. */
    for (int part = 0; part < count_of_parts; part++) {
        if (parts[part].iov_len > 0) {
            return write_fitting(descriptor, parts[part].iov_base, parts[part].iov_len, 0, true);
        }
    }
    return 0;
}

/* A file is to get this size; errno, or 0. */
static int resize(int descriptor, int64_t wanted, int (*real)(int, int64_t)) {
    int64_t before;
    if (!is_on_disk(descriptor, &before)) {
        return real(descriptor, wanted);
    }
    pthread_mutex_lock(&growing);
    int result = ENOSPC;
    is_on_disk(descriptor, &before);
    if (wanted - before <= room()) {
        result = real(descriptor, wanted);
        count_growth(descriptor, before);
    }
    pthread_mutex_unlock(&growing);
    return result;
}

static int real_truncate(int descriptor, int64_t wanted) { return REAL(ftruncate)(descriptor, wanted) ? errno : 0; }
static int real_allocate(int descriptor, int64_t wanted) { return REAL(posix_fallocate)(descriptor, 0, wanted); }

static int failed_with(int error) {
    if (error) {
        errno = error;
    }
    return error ? -1 : 0;
}

int ftruncate(int descriptor, off_t wanted) { return failed_with(resize(descriptor, wanted, real_truncate)); }
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

int posix_fallocate(int descriptor, off_t position, off_t length) {
    return resize(descriptor, position + length, real_allocate);
}
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));

int fallocate(int descriptor, int mode, off_t position, off_t length) {
    return mode ? REAL(fallocate)(descriptor, mode, position, length)
                : failed_with(posix_fallocate(descriptor, position, length));
}
int fallocate64(int, int, off_t, off_t) __attribute__((alias("fallocate")));

/* A file goes: its room comes back. One that is still open gives it back too soon, which no test here depends on. */
static void count_removed(int directory, const char *path) {
    struct stat found;
    int descriptor = openat(directory, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int64_t length;
    if (descriptor >= 0 && is_on_disk(descriptor, &length) && fstat(descriptor, &found) == 0 && found.st_nlink == 1) {
        pthread_mutex_lock(&growing);
        used -= length;
        pthread_mutex_unlock(&growing);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
}

int unlink(const char *path) {
    count_removed(AT_FDCWD, path);
    return REAL(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags) {
    count_removed(directory, path);
    return REAL(unlinkat)(directory, path, flags);
}

int rename(const char *from, const char *to) {
    count_removed(AT_FDCWD, to);
    return REAL(rename)(from, to);
}

static int told(int result, bool is_ours, struct statvfs *room_told) {
    if (result == 0 && is_ours) {
        room_told->f_bsize = room_told->f_frsize = BLOCK;
        room_told->f_blocks = (fsblkcnt_t)(*size / BLOCK);
        room_told->f_bfree = room_told->f_bavail = (fsblkcnt_t)(room() / BLOCK);
    }
    return result;
}

static bool is_ours(const char *path) {
    char whole[PATH_MAX];
    return size && realpath(path, whole) && is_under(whole, setting("DISK_ROOM_DIRECTORY"));
}

int statvfs(const char *path, struct statvfs *room_told) {
    return told(REAL(statvfs)(path, room_told), is_ours(path), room_told);
}
/* The two structures are one and the same on 64-bit machines. */
int statvfs64(const char *path, struct statvfs64 *room_told) { return statvfs(path, (struct statvfs *)room_told); }

int fstatvfs(int descriptor, struct statvfs *room_told) {
    char path[PATH_MAX];
    path_of(descriptor, path);
    return told(REAL(fstatvfs)(descriptor, room_told), is_ours(path), room_told);
}
int fstatvfs64(int descriptor, struct statvfs64 *room_told) { return fstatvfs(descriptor, (struct statvfs *)room_told); }
