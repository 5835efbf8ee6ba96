/* Preloaded into a command and all that it starts: kills the whole process group at a moment. Moments
   are counted over all its processes, one before and one after each call that changes a file below
   KILL_BELOW, from the first whose path ends in KILL_FROM. KILL_COUNT is a file of three numbers:
   whether that call has come, how many moments have, and at which one to kill. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static struct shared { atomic_long started, moments, at; } *shared;
static const char *below, *from;

__attribute__((constructor)) static void begin(void)
{
    const char *count = getenv("KILL_COUNT");
    below = getenv("KILL_BELOW");
    from = getenv("KILL_FROM");
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int descriptor = real_open(count, O_RDWR);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
}

static void moment(void)
{
    if (atomic_fetch_add(&shared->moments, 1) == atomic_load(&shared->at))
        kill(0, SIGKILL);
}

static int ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* Whether a call on PATH, relative to the folder DESCRIPTOR, counts. */
static int counts(int descriptor, const char *path)
{
    char link[64], whole[PATH_MAX * 2];
    if (shared == NULL)
        return 0;
    if (path[0] == '/')
        snprintf(whole, sizeof whole, "%s", path);
    else {
        if (descriptor == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, whole, PATH_MAX);
        if (length < 0)
            return 0;
        snprintf(whole + length, sizeof whole - length, "%s%s", path[0] ? "/" : "", path);
    }
    if (strncmp(whole, below, strlen(below)) != 0)
        return 0;
    if (ends_with(whole, from))
        atomic_store(&shared->started, 1);
    return atomic_load(&shared->started) != 0;
}

#define AROUND(type, name, declared, passed, condition)                                       \
    type name declared                                                                         \
    {                                                                                          \
        static type(*real) declared;                                                           \
        if (real == NULL)                                                                      \
            real = dlsym(RTLD_NEXT, #name);                                                    \
        int counted = condition;                                                               \
        if (counted)                                                                           \
            moment();                                                                          \
        type result = real passed;                                                             \
        if (counted)                                                                           \
            moment();                                                                          \
        return result;                                                                         \
    }

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))
#define OPEN(name)                                                                             \
    int name(const char *path, int flags, ...)                                                 \
    {                                                                                          \
        static int (*real)(const char *, int, ...);                                            \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        int mode = flags & O_CREAT ? va_arg(rest, int) : 0;                                    \
        va_end(rest);                                                                          \
        if (real == NULL)                                                                      \
            real = dlsym(RTLD_NEXT, #name);                                                    \
        int counted = CHANGES(flags) && counts(AT_FDCWD, path);                                \
        if (counted)                                                                           \
            moment();                                                                          \
        int result = real(path, flags, mode);                                                  \
        if (counted)                                                                           \
            moment();                                                                          \
        return result;                                                                         \
    }
#define OPENAT(name)                                                                           \
    int name(int folder, const char *path, int flags, ...)                                     \
    {                                                                                          \
        static int (*real)(int, const char *, int, ...);                                       \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        int mode = flags & O_CREAT ? va_arg(rest, int) : 0;                                    \
        va_end(rest);                                                                          \
        if (real == NULL)                                                                      \
            real = dlsym(RTLD_NEXT, #name);                                                    \
        int counted = CHANGES(flags) && counts(folder, path);                                  \
        if (counted)                                                                           \
            moment();                                                                          \
        int result = real(folder, path, flags, mode);                                          \
        if (counted)                                                                           \
            moment();                                                                          \
        return result;                                                                         \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
AROUND(int, __open_2, (const char *path, int flags), (path, flags),
       CHANGES(flags) && counts(AT_FDCWD, path))
AROUND(int, __open64_2, (const char *path, int flags), (path, flags),
       CHANGES(flags) && counts(AT_FDCWD, path))
AROUND(int, __openat64_2, (int folder, const char *path, int flags), (folder, path, flags),
       CHANGES(flags) && counts(folder, path))
AROUND(FILE *, fopen, (const char *path, const char *mode), (path, mode),
       mode[0] != 'r' && counts(AT_FDCWD, path))
AROUND(FILE *, fopen64, (const char *path, const char *mode), (path, mode),
       mode[0] != 'r' && counts(AT_FDCWD, path))
AROUND(ssize_t, write, (int file, const void *buffer, size_t size), (file, buffer, size),
       counts(file, ""))
AROUND(ssize_t, sendfile, (int to, int of, off_t *offset, size_t size), (to, of, offset, size),
       counts(to, ""))
AROUND(ssize_t, sendfile64, (int to, int of, off64_t *offset, size_t size), (to, of, offset, size),
       counts(to, ""))
AROUND(int, rename, (const char *old, const char *path), (old, path), counts(AT_FDCWD, path))
AROUND(int, renameat, (int from, const char *old, int to, const char *path), (from, old, to, path),
       counts(to, path))
AROUND(int, link, (const char *old, const char *path), (old, path), counts(AT_FDCWD, path))
AROUND(int, linkat, (int from, const char *old, int to, const char *path, int flags),
       (from, old, to, path, flags), counts(to, path))
AROUND(int, symlink, (const char *target, const char *path), (target, path),
       counts(AT_FDCWD, path))
AROUND(int, unlink, (const char *path), (path), counts(AT_FDCWD, path))
AROUND(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
       counts(folder, path))
AROUND(int, mkdir, (const char *path, mode_t mode), (path, mode), counts(AT_FDCWD, path))
AROUND(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode),
       counts(folder, path))
AROUND(int, rmdir, (const char *path), (path), counts(AT_FDCWD, path))
AROUND(int, chmod, (const char *path, mode_t mode), (path, mode), counts(AT_FDCWD, path))
AROUND(int, fsync, (int file), (file), counts(file, ""))
