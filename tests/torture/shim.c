/* A disk that is watched, and fails on demand: an LD_PRELOAD library between imgctl and Linux.
 *
 * TORTURE_ROOT   the directory that is watched; what happens elsewhere is left alone
 * TORTURE_LOG    every change below it is appended here, with its bytes (read by disk.py)
 * TORTURE_FAIL   CLASS:N:MODE:ERRNO, the N-th call of a class fails. Classes: write, sync, name (creating, renaming,
 *                linking, removing). Modes: once; sticky (from then on); partial (half of the bytes are written, and
 *                that is said); short (the same, and from then on sticky); die (kill -9 just before the call); stop
 *                (SIGSTOP just before the call)
 * TORTURE_FIRED  this file is made when the call has failed
 * TORTURE_CLOCK  seconds by which the wall clock is wrong
 *
 * One lock makes the order of the log the order of the calls. The calls themselves are made as system calls, so that
 * nothing here depends on which name of a function another library uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if !defined(__linux__) || __SIZEOF_POINTER__ != 8
#error "the shim is for 64-bit Linux"
#endif

enum { PATH = 4096 };
enum class { WRITE, SYNC, NAME };
enum mode { ONCE, STICKY, PARTIAL, SHORT, DIE, STOP };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH];
static size_t root_length;
static int log_fd = -1;
static const char *fired;
static long long clock_offset;
static int fail_class = -1, fail_mode, fail_errno;
static long fail_at, seen, broken;

static long find(const char *word, const char *const *words, long count) {
    for (long at = 0; at < count; at++)
        if (strcmp(word, words[at]) == 0) return at;
    fprintf(stderr, "shim: what is %s?\n", word);
    _exit(99);
}

__attribute__((constructor)) static void begin(void) {
    static const char *const classes[] = {"write", "sync", "name"};
    static const char *const modes[] = {"once", "sticky", "partial", "short", "die", "stop"};
    const char *text = getenv("TORTURE_ROOT");
    if (text) root_length = (size_t)snprintf(root, sizeof root, "%s", text);
    if ((text = getenv("TORTURE_CLOCK"))) clock_offset = atoll(text);
    fired = getenv("TORTURE_FIRED");
    if ((text = getenv("TORTURE_FAIL"))) {
        char class[16], mode[16];
        if (sscanf(text, "%15[^:]:%ld:%15[^:]:%d", class, &fail_at, mode, &fail_errno) != 4) _exit(99);
        fail_class = (int)find(class, classes, 3);
        fail_mode = (int)find(mode, modes, 6);
    }
    if ((text = getenv("TORTURE_LOG"))) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
        syscall(SYS_close, fd);
        if (log_fd < 0) _exit(99);
    }
}

/* ---- which file ---- */

static int below(const char *path) {
    return root_length && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length]);
}

static int path_of(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0 && below(path);
}

static int full(int dir, const char *name, char *path) {
    char base[PATH];
    if (name[0] == '/') {
        snprintf(path, PATH, "%s", name);
        return below(path);
    }
    if (dir == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
    } else {
        path_of(dir, base);
    }
    if (snprintf(path, PATH, "%s/%s", base, name) >= PATH) return 0;
    return below(path);
}

static uint64_t inode(int fd) {
    struct stat facts;
    return fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

/* ---- the log: a header and two runs of bytes ---- */

struct record {
    uint32_t op, first, second, reserved;
    uint64_t inode, offset;
};

static void put(char op, uint64_t ino, uint64_t offset, const void *a, size_t first, const void *b, size_t second) {
    if (log_fd < 0) return;
    struct record head = {(uint32_t)op, (uint32_t)first, (uint32_t)second, 0, ino, offset};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)a, first}, {(void *)b, second}};
    if (syscall(SYS_writev, log_fd, parts, 3) != (long)(sizeof head + first + second)) {
        fprintf(stderr, "shim: the log cannot be written\n");
        _exit(99);
    }
}

static void put_names(char op, uint64_t ino, const char *a, const char *b) {
    put(op, ino, 0, a, strlen(a), b, b ? strlen(b) : 0);
}

/* ---- the fault ---- */

static void tell(void) {
    if (!fired) return;
    long fd = syscall(SYS_openat, AT_FDCWD, fired, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) syscall(SYS_close, fd);
}

/* 0: go on; 1: fail with errno set; 2: do half of it. Called with the lock held. */
static int fault(enum class class) {
    if ((int)class != fail_class) return 0;
    seen++;
    if (broken && (fail_mode == STICKY || fail_mode == SHORT)) {
        errno = fail_errno;
        return 1;
    }
    if (seen != fail_at) return 0;
    broken = 1;
    tell();
    if (fail_mode == DIE) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    if (fail_mode == STOP) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
        return 0;
    }
    errno = fail_errno;
    return fail_mode == PARTIAL || fail_mode == SHORT ? 2 : 1;
}

#define LOCKED(result_type, ...)                       \
    pthread_mutex_lock(&lock);                         \
    result_type result = __VA_ARGS__;                  \
    int kept = errno;                                  \
    pthread_mutex_unlock(&lock);                       \
    errno = kept;                                      \
    return result

/* ---- bytes ---- */

static size_t total(const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int at = 0; at < count; at++) bytes += parts[at].iov_len;
    return bytes;
}

/* offset < 0: where the file stands. */
static ssize_t put_bytes(int fd, const struct iovec *parts, int count, off_t offset) {
    size_t bytes = total(parts, count);
    int half = bytes ? fault(WRITE) : 0;
    if (half == 1) return -1;
    char *joined = malloc(bytes + 1);
    size_t done = 0;
    for (int at = 0; at < count; at++) {
        memcpy(joined + done, parts[at].iov_base, parts[at].iov_len);
        done += parts[at].iov_len;
    }
    /* Of one byte no half can be written. */
    if (half == 2 && bytes == 1) {
        free(joined);
        errno = fail_errno;
        return -1;
    }
    size_t wanted = half ? bytes / 2 : bytes;
    ssize_t wrote = offset < 0 ? syscall(SYS_write, fd, joined, wanted) : syscall(SYS_pwrite64, fd, joined, wanted, offset);
    if (wrote > 0) {
        off_t at = offset < 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) - wrote : offset;
        put('W', inode(fd), (uint64_t)at, joined, (size_t)wrote, NULL, 0);
    }
    int kept = errno;
    free(joined);
    errno = kept;
    return wrote;
}

static ssize_t bytes(int fd, const struct iovec *parts, int count, off_t offset) {
    char path[PATH];
    if (!path_of(fd, path)) {
        if (offset < 0) return syscall(SYS_writev, fd, parts, count);
        return syscall(SYS_pwritev, fd, parts, count, offset, 0);
    }
    LOCKED(ssize_t, put_bytes(fd, parts, count, offset));
}

static ssize_t one(int fd, const void *data, size_t length, off_t offset) {
    struct iovec part = {(void *)data, length};
    return bytes(fd, &part, 1, offset);
}

ssize_t write(int fd, const void *data, size_t length) { return one(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return one(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return one(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return bytes(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return bytes(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return bytes(fd, parts, count, at); }

static int put_length(int fd, off_t length) {
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0) put('T', inode(fd), (uint64_t)length, NULL, 0, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t length) {
    char path[PATH];
    if (!path_of(fd, path)) return (int)syscall(SYS_ftruncate, fd, length);
    LOCKED(int, fault(WRITE) ? -1 : put_length(fd, length));
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int truncate(const char *name, off_t length) {
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = ftruncate(fd, length), kept = errno;
    close(fd);
    errno = kept;
    return result;
}
int truncate64(const char *name, off64_t length) { return truncate(name, length); }

/* Copies inside the kernel would not be seen: who asks for one is sent back to reading and writing. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    (void)in, (void)from, (void)out, (void)to, (void)length, (void)flags;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *offset, size_t length) {
    (void)out, (void)in, (void)offset, (void)length;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) { return sendfile(out, in, offset, length); }
int fallocate(int fd, int mode, off_t offset, off_t length) {
    (void)fd, (void)mode, (void)offset, (void)length;
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }

/* ---- flushes ---- */

static int put_sync(int fd, long call, char op) {
    if (fault(SYNC)) return -1;
    int result = (int)syscall(call, fd);
    if (result == 0) put(op, inode(fd), 0, NULL, 0, NULL, 0);
    return result;
}

static int flush(int fd, long call, char op) {
    char path[PATH];
    if (!path_of(fd, path)) return (int)syscall(call, fd);
    LOCKED(int, put_sync(fd, call, op));
}

int fsync(int fd) { return flush(fd, SYS_fsync, 'S'); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync, 'S'); }

/* Starts writing, asks no device to flush, and leaves the file's size to chance: it is logged as nothing. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    char path[PATH];
    if (!path_of(fd, path)) return (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
    LOCKED(int, fault(SYNC) ? -1 : (int)syscall(SYS_sync_file_range, fd, offset, length, flags));
}

/* ---- names ---- */

static int make_file(int dir, const char *name, const char *path, int flags, mode_t mode) {
    int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    if (is_new && fault(NAME)) return -1;
    int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
    if (fd >= 0 && is_new) put_names('C', inode(fd), path, NULL);
    else if (fd >= 0 && (flags & O_TRUNC)) put('T', inode(fd), 0, NULL, 0, NULL, 0);
    return fd;
}

static int opened(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !full(dir, name, path))
        return (int)syscall(SYS_openat, dir, name, flags, mode);
    LOCKED(int, make_file(dir, name, path, flags, mode));
}

#define MODE(flags, last)                                        \
    mode_t mode = 0;                                             \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                     \
        va_list rest;                                            \
        va_start(rest, last);                                    \
        mode = (mode_t)va_arg(rest, int);                        \
        va_end(rest);                                            \
    }

int open(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags, flags) return opened(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags, flags) return opened(dir, name, flags, mode); }

static int make_dir(int dir, const char *name, const char *path, mode_t mode) {
    if (fault(NAME)) return -1;
    int result = (int)syscall(SYS_mkdirat, dir, name, mode);
    struct stat facts;
    if (result == 0 && stat(path, &facts) == 0) put_names('M', facts.st_ino, path, NULL);
    return result;
}

int mkdirat(int dir, const char *name, mode_t mode) {
    char path[PATH];
    if (!full(dir, name, path)) return (int)syscall(SYS_mkdirat, dir, name, mode);
    LOCKED(int, make_dir(dir, name, path, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

static int put_move(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char a[PATH], b[PATH];
    full(from_dir, from, a);
    full(to_dir, to, b);
    if (fault(NAME)) return -1;
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (result == 0) put_names('R', 0, a, b);
    return result;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char path[PATH];
    if (!full(to_dir, to, path)) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    LOCKED(int, put_move(from_dir, from, to_dir, to, flags));
}
int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

static int put_link(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char a[PATH], b[PATH];
    full(from_dir, from, a);
    full(to_dir, to, b);
    if (fault(NAME)) return -1;
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    struct stat facts;
    if (result == 0 && stat(b, &facts) == 0) put_names('L', facts.st_ino, a, b);
    return result;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char path[PATH];
    if (!full(to_dir, to, path)) return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    LOCKED(int, put_link(from_dir, from, to_dir, to, flags));
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

static int put_remove(int dir, const char *name, const char *path, int flags) {
    if (fault(NAME)) return -1;
    int result = (int)syscall(SYS_unlinkat, dir, name, flags);
    if (result == 0) put_names('U', 0, path, NULL);
    return result;
}

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH];
    if (!full(dir, name, path)) return (int)syscall(SYS_unlinkat, dir, name, flags);
    LOCKED(int, put_remove(dir, name, path, flags));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

/* ---- the clock ---- */

int clock_gettime(clockid_t which, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, which, now);
    if (result == 0 && which == CLOCK_REALTIME) now->tv_sec += clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
