/* For LD_PRELOAD: the n-th call that changes a file below a folder kills the process, or fails with an errno.
 *
 * Invariant: calls on other files, and all calls while nothing is armed, pass through. Counted: write, fsync, rename,
 * unlink, and open for writing. Read next: ../io/test_killed_saves.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1, seen;
static int failure;
static char below[4096];

/* From now on the n-th call (from 0) ends in `error`, or in SIGKILL if that is 0. n < 0: only count. */
void faults_arm(const char *folder, long n, int error) {
    snprintf(below, sizeof below, "%s", folder);
    left = n;
    failure = error;
    seen = 0;
}
long faults_seen(void) { return seen; }

static int strikes(const char *path) {
    if (!*below || strncmp(path, below, strlen(below))) return 0;
    seen++;
    if (left < 0 || left-- > 0) return 0;
    if (!failure) raise(SIGKILL);
    errno = failure;
    return 1;
}

static int strikes_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strikes(path);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) { return strikes_fd(fd) ? -1 : REAL(ssize_t, write, int, const void *, size_t)(fd, data, n); }
int fsync(int fd) { return strikes_fd(fd) ? -1 : REAL(int, fsync, int)(fd); }
int rename(const char *from, const char *to) { return strikes(to) ? -1 : REAL(int, rename, const char *, const char *)(from, to); }
int unlink(const char *path) { return strikes(path) ? -1 : REAL(int, unlink, const char *)(path); }

static int open_with(const char *name, const char *path, int flags, va_list rest) {
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    if (flags & (O_WRONLY | O_RDWR) && strikes(path)) return -1;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name))(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int fd = open_with("open", path, flags, rest);
    va_end(rest);
    return fd;
}
int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int fd = open_with("open64", path, flags, rest);
    va_end(rest);
    return fd;
}
