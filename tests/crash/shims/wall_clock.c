/* Moves the wall clock, and only that, by the seconds in a file: eight bytes, a signed number as the machine writes it.
 * $WALL_CLOCK_FILE is mapped, so whoever writes it moves the clock at once. Monotonic clocks and timers stay true. */
#include "interpose.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void map_offset(void) {
    int descriptor = open(setting("WALL_CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
        abort();
    }
    offset = mapped;
    close(descriptor);
}

static int64_t moved_by(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)) {
        now->tv_sec += moved_by();
    }
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    int result = REAL(gettimeofday)(now, zone);
    if (result == 0) {
        now->tv_sec += moved_by();
    }
    return result;
}

int timespec_get(struct timespec *now, int base) {
    int result = REAL(timespec_get)(now, base);
    if (result == base) {
        now->tv_sec += moved_by();
    }
    return result;
}

time_t time(time_t *now) {
    time_t result = REAL(time)(NULL) + moved_by();
    if (now) {
        *now = result;
    }
    return result;
}
