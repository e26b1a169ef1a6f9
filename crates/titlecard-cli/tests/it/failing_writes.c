/* The n-th write, flush or rename of a process fails: loaded before the C library, told by the environment.
 * FAIL_AT: which call, from 1. FAIL_HOW: ENOSPC, EIO or SHORT (half of a write, the rest fails with ENOSPC).
 * FAIL_COUNT: a file that is given the number of calls at the end. Only files count: no terminals, pipes, sockets. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static atomic_int after_short;

static int fails(void) {
    const char *at = getenv("FAIL_AT");
    long call = atomic_fetch_add(&calls, 1) + 1;
    return at != NULL && call == atol(at);
}

static int is_file(int fd) {
    struct stat about;
    int before = errno;
    int found = fstat(fd, &about) == 0 && (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode));
    errno = before;
    return found;
}

static const char *how(void) {
    const char *how = getenv("FAIL_HOW");
    return how == NULL ? "EIO" : how;
}

static int refuse(void) {
    errno = strcmp(how(), "EIO") == 0 ? EIO : ENOSPC;
    return -1;
}

/* Bytes that may be written, or -1. */
static ssize_t allowed(size_t length) {
    if (atomic_exchange(&after_short, 0)) {
        errno = ENOSPC;
        return -1;
    }
    if (!fails()) return (ssize_t)length;
    if (strcmp(how(), "SHORT") == 0 && length > 1) {
        atomic_store(&after_short, 1);
        return (ssize_t)(length / 2);
    }
    return refuse();
}

ssize_t write(int fd, const void *bytes, size_t length) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (!is_file(fd)) return next(fd, bytes, length);
    ssize_t n = allowed(length);
    return n < 0 ? n : next(fd, bytes, (size_t)n);
}

ssize_t writev(int fd, const struct iovec *parts, int n_parts) {
    ssize_t (*next)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    if (is_file(fd) && fails()) return refuse();
    return next(fd, parts, n_parts);
}

int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    return is_file(fd) && fails() ? refuse() : next(fd);
}

int fdatasync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return is_file(fd) && fails() ? refuse() : next(fd);
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return fails() ? refuse() : next(from, to);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAIL_COUNT");
    if (path == NULL) return;
    unsetenv("FAIL_AT");
    FILE *file = fopen(path, "w");
    if (file == NULL) return;
    fprintf(file, "%ld", (long)atomic_load(&calls));
    fclose(file);
}
