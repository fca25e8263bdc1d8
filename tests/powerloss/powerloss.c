/* Preloaded into a server under test: keeps a journal of all that it does to the files of one folder, so that a test
 * can say after a SIGKILL what a power loss would have left; and fails writes and syncs on demand.
 *
 *   POWERLOSS_FOLDER   the folder, as realpath gives it
 *   POWERLOSS_JOURNAL  the journal, outside of the folder
 *   POWERLOSS_FAULTS   a file of struct faults, mapped: the test switches failures on and off in it
 *   POWERLOSS_SYNC_US  how long a sync takes, in microseconds
 *
 * A record is written before the deed, and both under one lock: at a kill at most the last recorded deed is undone or
 * half done. Syncs only wait: what counts as durable is decided by the reader of the journal. Files ending in -shm are
 * mapped by SQLite and never durable; they are left out. Real calls are raw system calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC, UNLINK, RENAME, MKDIR, RMDIR };
/* GROWTH: as on a full disk, writing over what is there still works. */
enum fault { NONE, GROWTH, READ_ONLY, WRITES, SYNCS };

struct record {
    uint32_t kind, path_len, path2_len, reserved;
    uint64_t at, data_len; /* at: an offset, a length, or the number of records before a sync */
};

struct faults {
    volatile uint32_t fault;
    volatile uint32_t let_pass; /* so many of the calls that could fail succeed first */
    volatile uint64_t hits;
    char ending[48]; /* only files whose name ends so; empty: all */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_len;
static int journal = -1;
static uint64_t records;
static struct faults *faults;
static useconds_t sync_us;


__attribute__((constructor)) static void start(void) {
    const char *f = getenv("POWERLOSS_FOLDER"), *j = getenv("POWERLOSS_JOURNAL"), *c = getenv("POWERLOSS_FAULTS");
    const char *us = getenv("POWERLOSS_SYNC_US");
    if (!f || !j) return;
    folder_len = strlen(f);
    if (folder_len + 1 >= sizeof folder) abort();
    memcpy(folder, f, folder_len + 1);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, j, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    /* Out of the way of numbers that the program expects to be free. */
    journal = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    if (journal < 0) abort();
    syscall(SYS_close, fd);
    if (us) sync_us = (useconds_t)atoi(us);
    if (c) {
        int at = (int)syscall(SYS_openat, AT_FDCWD, c, O_RDWR | O_CLOEXEC);
        void *map = at < 0 ? MAP_FAILED : mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, at, 0);
        if (map == MAP_FAILED) abort();
        faults = map;
        syscall(SYS_close, at);
    }
}

/* The part of an absolute path below the folder; NULL: not ours. */
static const char *below(const char *path) {
    if (journal < 0 || strncmp(path, folder, folder_len) != 0) return NULL;
    if (path[folder_len] == 0) return path + folder_len;
    if (path[folder_len] != '/') return NULL;
    size_t n = strlen(path);
    if (n > 4 && strcmp(path + n - 4, "-shm") == 0) return NULL;
    return path + folder_len + 1;
}

static const char *of_fd(int fd, char *space) {
    char link[64];
    if (journal < 0 || fd == journal) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, space, PATH_MAX - 1);
    if (n <= 0 || space[0] != '/') return NULL;
    space[n] = 0;
    if (n > 10 && strcmp(space + n - 10, " (deleted)") == 0) return NULL;
    return below(space);
}

/* Of a path that may not exist yet: the folder must. */
static const char *of_path(int dirfd, const char *path, char *space) {
    char whole[PATH_MAX * 2], parent[PATH_MAX];
    if (journal < 0) return NULL;
    if (path[0] == '/' || dirfd == AT_FDCWD) {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        long n = syscall(SYS_readlinkat, AT_FDCWD, link, parent, sizeof parent - 1);
        if (n <= 0) return NULL;
        parent[n] = 0;
        snprintf(whole, sizeof whole, "%s/%s", parent, path);
    }
    size_t n = strlen(whole);
    while (n > 1 && whole[n - 1] == '/') whole[--n] = 0;
    char *slash = strrchr(whole, '/');
    const char *name = slash ? slash + 1 : whole;
    if (slash) *slash = 0;
    if (!realpath(slash ? (slash == whole ? "/" : whole) : ".", parent)) return NULL;
    if (snprintf(space, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX) return NULL;
    return below(space);
}

static void note(enum kind kind, const char *path, const char *path2, uint64_t at, const void *data, size_t len) {
    struct record r = {kind, (uint32_t)strlen(path), path2 ? (uint32_t)strlen(path2) : 0, 0, at, len};
    struct iovec all[4] = {
        {&r, sizeof r}, {(void *)path, r.path_len}, {(void *)path2, r.path2_len}, {(void *)data, len}};
    size_t wanted = sizeof r + r.path_len + r.path2_len + len;
    if (syscall(SYS_writev, journal, all, 4) != (long)wanted) {
        static const char words[] = "powerloss: the journal cannot be written\n";
        syscall(SYS_write, 2, words, sizeof words - 1);
        abort();
    }
    records++;
}

/* Whether this call is to fail, and how. */
static int fails(const char *path, enum fault with_growth) {
    if (!faults || faults->fault == NONE) return 0;
    size_t n = strlen(path), m = strnlen(faults->ending, sizeof faults->ending);
    if (n < m || memcmp(path + n - m, faults->ending, m) != 0) return 0;
    int error = 0;
    switch (faults->fault) {
    case GROWTH: error = with_growth == GROWTH ? ENOSPC : 0; break;
    case READ_ONLY: error = with_growth == SYNCS ? 0 : EROFS; break;
    case WRITES: error = with_growth == SYNCS ? 0 : EIO; break;
    case SYNCS: error = with_growth == SYNCS ? EIO : 0; break;
    }
    if (!error) return 0;
    if (faults->let_pass > 0) {
        faults->let_pass--;
        return 0;
    }
    faults->hits++;
    errno = error;
    return 1;
}

static uint64_t size_of(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 ? (uint64_t)s.st_size : 0;
}

static int open_it(int dirfd, const char *path, int flags, mode_t mode) {
    char space[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    const char *name = writes ? of_path(dirfd, path, space) : NULL;
    if (!name) return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = (int)syscall(SYS_openat, dirfd, path, flags & ~(O_CREAT | O_EXCL | O_TRUNC), 0);
    if (fd < 0 && errno == ENOENT && (flags & O_CREAT)) {
        if (!fails(name, GROWTH)) {
            note(CREATE, name, NULL, 0, NULL, 0);
            fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
        }
    } else if (fd >= 0) {
        int error = 0;
        if ((flags & O_CREAT) && (flags & O_EXCL)) error = EEXIST;
        else if (fails(name, NONE) && errno == EROFS) error = EROFS;
        else if ((flags & O_TRUNC) && size_of(fd) > 0) {
            note(TRUNCATE, name, NULL, 0, NULL, 0);
            if (syscall(SYS_ftruncate, fd, 0) != 0) error = errno;
        }
        if (error) {
            syscall(SYS_close, fd);
            errno = error;
            fd = -1;
        }
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, last); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }
int open(const char *path, int flags, ...) { MODE(flags, flags) return open_it(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_it(AT_FDCWD, path, flags, mode); }
int openat(int d, const char *path, int flags, ...) { MODE(flags, flags) return open_it(d, path, flags, mode); }
int openat64(int d, const char *path, int flags, ...) { MODE(flags, flags) return open_it(d, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_it(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* offset -1: at the file's own position. */
static ssize_t write_it(int fd, const void *data, size_t len, int64_t offset) {
    char space[PATH_MAX];
    const char *name = of_fd(fd, space);
    ssize_t result = -1;
    if (name) {
        pthread_mutex_lock(&lock);
        uint64_t at = (uint64_t)offset;
        if (offset < 0) {
            int append = (int)syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
            at = append ? size_of(fd) : (uint64_t)lseek(fd, 0, SEEK_CUR);
        }
        if (fails(name, at + len > size_of(fd) ? GROWTH : NONE)) {
            int error = errno;
            pthread_mutex_unlock(&lock);
            errno = error;
            return -1;
        }
        note(WRITE, name, NULL, at, data, len);
    }
    result = offset < 0 ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, offset);
    if (name) {
        int error = errno;
        if (result != (ssize_t)len) abort(); /* the journal says otherwise */
        pthread_mutex_unlock(&lock);
        errno = error;
    }
    return result;
}

ssize_t write(int fd, const void *data, size_t len) { return write_it(fd, data, len, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return write_it(fd, data, len, at); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) { return write_it(fd, data, len, at); }

static ssize_t writev_it(int fd, const struct iovec *all, int count, int64_t offset) {
    char space[PATH_MAX];
    if (!of_fd(fd, space)) {
        return offset < 0 ? syscall(SYS_writev, fd, all, count)
                          : syscall(SYS_pwritev, fd, all, count, (unsigned long)offset, 0UL);
    }
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = write_it(fd, all[i].iov_base, all[i].iov_len, offset < 0 ? -1 : offset + total);
        if (n < 0) return total > 0 ? total : n;
        total += n;
    }
    return total;
}

ssize_t writev(int fd, const struct iovec *all, int count) { return writev_it(fd, all, count, -1); }
ssize_t pwritev(int fd, const struct iovec *all, int count, off_t at) { return writev_it(fd, all, count, at); }
ssize_t pwritev64(int fd, const struct iovec *all, int count, off64_t at) { return writev_it(fd, all, count, at); }

static int sync_it(int fd, long number) {
    char space[PATH_MAX];
    const char *name = of_fd(fd, space);
    if (!name) return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    uint64_t before = records;
    if (fails(name, SYNCS)) {
        int error = errno;
        pthread_mutex_unlock(&lock);
        errno = error;
        return -1;
    }
    pthread_mutex_unlock(&lock);
    if (sync_us) usleep(sync_us);
    pthread_mutex_lock(&lock);
    note(SYNC, name, NULL, before, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return sync_it(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_it(fd, SYS_fdatasync); }

static int truncate_it(int fd, int64_t len) {
    char space[PATH_MAX];
    const char *name = of_fd(fd, space);
    if (!name) return (int)syscall(SYS_ftruncate, fd, len);
    int result = -1;
    pthread_mutex_lock(&lock);
    if (!fails(name, (uint64_t)len > size_of(fd) ? GROWTH : NONE)) {
        note(TRUNCATE, name, NULL, (uint64_t)len, NULL, 0);
        result = (int)syscall(SYS_ftruncate, fd, len);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t len) { return truncate_it(fd, len); }
int ftruncate64(int fd, off64_t len) { return truncate_it(fd, len); }

static int remove_it(int dirfd, const char *path, int flags) {
    char space[PATH_MAX];
    const char *name = of_path(dirfd, path, space);
    if (!name) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails(name, NONE)) {
        struct stat s;
        if (fstatat(dirfd, path, &s, AT_SYMLINK_NOFOLLOW) == 0)
            note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, name, NULL, 0, NULL, 0);
        result = (int)syscall(SYS_unlinkat, dirfd, path, flags);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path) { return remove_it(AT_FDCWD, path, 0); }
int unlinkat(int dirfd, const char *path, int flags) { return remove_it(dirfd, path, flags); }
int rmdir(const char *path) { return remove_it(AT_FDCWD, path, AT_REMOVEDIR); }

static int rename_it(int from_dir, const char *from, int to_dir, const char *to) {
    char space[PATH_MAX], space2[PATH_MAX];
    const char *old = of_path(from_dir, from, space), *new = of_path(to_dir, to, space2);
    if (!old || !new) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails(new, NONE)) {
        note(RENAME, old, new, 0, NULL, 0);
        result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) { return rename_it(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int d, const char *from, int e, const char *to) { return rename_it(d, from, e, to); }

static int mkdir_it(int dirfd, const char *path, mode_t mode) {
    char space[PATH_MAX];
    const char *name = of_path(dirfd, path, space);
    if (!name) return (int)syscall(SYS_mkdirat, dirfd, path, mode);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails(name, GROWTH)) {
        result = (int)syscall(SYS_mkdirat, dirfd, path, mode);
        if (result == 0) note(MKDIR, name, NULL, 0, NULL, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdir_it(AT_FDCWD, path, mode); }
int mkdirat(int dirfd, const char *path, mode_t mode) { return mkdir_it(dirfd, path, mode); }

/* Copies inside the kernel would go around the journal: callers fall back to reading and writing. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t len, unsigned flags) {
    char space[PATH_MAX];
    if (of_fd(out, space)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_copy_file_range, in, from, out, to, len, flags);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t len) {
    char space[PATH_MAX];
    if (of_fd(out, space)) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_sendfile, out, in, at, len);
}

ssize_t sendfile(int out, int in, off_t *at, size_t len) { return sendfile64(out, in, at, len); }
