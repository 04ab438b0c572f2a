/* Strikes at the n-th operation that changes files below a folder: it fails with an error, or the
 * process dies there, as by kill -9. Of a write, half is done before.
 *
 *     gcc -shared -fPIC -o shim.so shim.c -ldl; LD_PRELOAD=./shim.so python ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long target, seen;
static int error; /* 0: die */

/* Count operations below `folder` from now on, and strike at the n-th. */
void arm(const char *folder, long n, int code) {
    snprintf(root, sizeof root, "%s", folder);
    target = n, seen = 0, error = code;
}

long operations(void) { return seen; }

static int strikes(const char *path) {
    if (!*root || strncmp(path, root, strlen(root)) || ++seen != target) return 0;
    if (!error) kill(getpid(), SIGKILL);
    errno = error;
    return 1;
}

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = *root ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, root, strlen(root));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    if (is_below(fd) && seen + 1 == target) REAL(write)(fd, data, size / 2);
    return is_below(fd) && strikes(root) ? -1 : REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (is_below(fd) && seen + 1 == target) REAL(writev)(fd, parts, count / 2);
    return is_below(fd) && strikes(root) ? -1 : REAL(writev)(fd, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    if (is_below(fileno(file)) && strikes(root)) return 0;
    return REAL(fwrite)(data, size, count, file);
}

int fsync(int fd) { return is_below(fd) && strikes(root) ? -1 : REAL(fsync)(fd); }

int rename(const char *from, const char *to) { return strikes(to) ? -1 : REAL(rename)(from, to); }

int mkdir(const char *path, mode_t mode) { return strikes(path) ? -1 : REAL(mkdir)(path, mode); }

#define OPENING(name)                                                       \
    int name(const char *path, int flags, ...) {                            \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                       \
        if (flags & O_CREAT && strikes(path)) return -1;                    \
        return REAL(name)(path, flags, mode);                               \
    }
OPENING(open)
OPENING(open64)
