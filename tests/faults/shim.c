/* Faults below a process, by LD_PRELOAD: a clock that is wrong, a disk that fails to sync, and the record of what a
 * power cut would leave.
 *
 *   FAULT_CONTROL   a file of five 64-bit integers, shared: see struct control; it may be changed while we run
 *   FAULT_ROOT      files below this folder are watched
 *   FAULT_DURABLE   after each successful fsync of a watched file, its copy here is what a power cut would leave
 *
 * A rename is durable once its folder is synced; until then FILE.renamed here is what a power cut may leave as FILE.
 *
 * A failed fsync drops the pages it could not write, as Linux does: what was dirty then is not durable afterwards
 * although a later fsync succeeds, unless it is written again. Sectors are compared with a copy made at the failure, in
 * which a write that comes later, also of the same bytes, is marked.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512

struct control {
    int64_t clock_offset_ns;  /* added to CLOCK_REALTIME */
    int64_t fail_from;        /* the first sync, counted from 1, that fails; 0: none */
    int64_t fail_count;       /* how many fail from there on */
    int64_t syncs;            /* syncs of watched files so far */
    int64_t failed;           /* of these, how many failed */
};

static struct control *control;
static const char *root, *durable;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static volatile int something_lost;

__attribute__((constructor)) static void start(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    root = getenv("FAULT_ROOT");
    durable = getenv("FAULT_DURABLE");
    const char *path = getenv("FAULT_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        control = mapped == MAP_FAILED ? NULL : mapped;
        close(file);
    }
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int answer = real_clock_gettime(id, now);
    if (answer == 0 && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t all = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + control->clock_offset_ns;
        now->tv_sec = all / 1000000000;
        now->tv_nsec = all % 1000000000;
    }
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int answer = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return answer;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* The path of an open file, or 0. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

/* The name of a watched file, one right below the root, or 0. */
static int watched_path(const char *path, char *name) {
    if (!root || !durable) return 0;
    size_t skip = strlen(root);
    if (strncmp(path, root, skip) || path[skip] != '/') return 0;
    for (const char *c = path + skip + 1; *c; c++)
        if (*c == '/') return 0;
    strcpy(name, path + skip + 1);
    return 1;
}

static int watched(int fd, char *name) {
    char path[PATH_MAX];
    return root && durable && path_of(fd, path) && watched_path(path, name);
}

static int is_root(int fd) {
    char path[PATH_MAX];
    return root && durable && path_of(fd, path) && !strcmp(path, root);
}

static char *slurp(int fd, size_t *size) {
    struct stat found;
    *size = 0;
    if (fd < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode)) return NULL;
    char *data = malloc(found.st_size + 1);
    while (data && *size < (size_t)found.st_size) {
        ssize_t got = pread(fd, data + *size, found.st_size - *size, *size);
        if (got <= 0) break;
        *size += got;
    }
    return data;
}

static char *slurp_path(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *data = slurp(fd, size);
    if (fd >= 0) close(fd);
    return data;
}

/* The whole of an open file, which may be open for writing only. */
static char *slurp_open(int fd, size_t *size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return slurp_path(link, size);
}

static void spill(const char *path, const char *data, size_t size) {
    char made[PATH_MAX + 8];
    snprintf(made, sizeof made, "%s.new", path);
    int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    for (size_t at = 0; at < size;) {
        ssize_t put = real_write(fd, data + at, size - at);
        if (put <= 0) abort();
        at += put;
    }
    close(fd);
    if (real_rename(made, path)) abort();
}

/* The lost sectors are those that are still as they were at the failure: they keep what was durable before. */
static void keep(int fd, const char *name) {
    char kept_path[PATH_MAX + 64], lost_path[PATH_MAX + 64];
    size_t size, kept_size, lost_size;
    snprintf(kept_path, sizeof kept_path, "%s/%s", durable, name);
    snprintf(lost_path, sizeof lost_path, "%s/%s.lost", durable, name);
    char *live = slurp_open(fd, &size);
    if (!live) return;
    char *lost = slurp_path(lost_path, &lost_size);
    if (lost) {
        char *kept = slurp_path(kept_path, &kept_size);
        for (size_t at = 0; at < size; at += SECTOR) {
            size_t part = size - at < SECTOR ? size - at : SECTOR;
            if (at + part <= lost_size && !memcmp(live + at, lost + at, part)) {
                size_t old = !kept || at >= kept_size ? 0 : kept_size - at < part ? kept_size - at : part;
                memcpy(live + at, kept + at, old);
                memset(live + at + old, 0, part - old);
            }
        }
        free(kept);
        free(lost);
    }
    spill(kept_path, live, size);
    free(live);
}

static void lose(int fd, const char *name) {
    char path[PATH_MAX + 64];
    size_t size;
    snprintf(path, sizeof path, "%s/%s.lost", durable, name);
    char *live = slurp_open(fd, &size);
    if (live) spill(path, live, size);
    free(live);
    something_lost = 1;
}

/* What is written after a loss is dirty again, and the next fsync can make it durable. */
static void note_write(int fd, const char *data, ssize_t size, off_t at) {
    char name[PATH_MAX], path[PATH_MAX + 64];
    if (size <= 0 || at < 0 || !watched(fd, name)) return;
    pthread_mutex_lock(&lock);
    snprintf(path, sizeof path, "%s/%s.lost", durable, name);
    int lost = open(path, O_WRONLY | O_CLOEXEC);
    if (lost >= 0) {
        char *other = malloc(size);
        for (ssize_t i = 0; i < size; i++) other[i] = ~data[i];
        if (real_pwrite(lost, other, size, at) != size) abort();
        free(other);
        close(lost);
    }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    ssize_t done = real_pwrite(fd, data, size, at);
    int kept = errno;
    if (something_lost) note_write(fd, data, done, at);
    errno = kept;
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t done = real_write(fd, data, size);
    int kept = errno;
    if (something_lost && done > 0) note_write(fd, data, done, lseek(fd, 0, SEEK_CUR) - done);
    errno = kept;
    return done;
}

/* What was renamed so far is durable under its new name. */
static void keep_names(void) {
    char from[PATH_MAX + 1024], to[PATH_MAX + 1024];
    DIR *folder = opendir(durable);
    for (struct dirent *one; folder && (one = readdir(folder));) {
        size_t length = strlen(one->d_name), end = sizeof ".renamed" - 1;
        if (length <= end || strcmp(one->d_name + length - end, ".renamed")) continue;
        snprintf(from, sizeof from, "%s/%s", durable, one->d_name);
        snprintf(to, sizeof to, "%s/%.*s", durable, (int)(length - end), one->d_name);
        if (real_rename(from, to)) abort();
    }
    if (folder) closedir(folder);
}

static int watched_name(const char *path, char *name) {
    char folder[PATH_MAX], whole[2 * PATH_MAX + 1];
    if (*path == '/') return watched_path(path, name);
    if (!getcwd(folder, sizeof folder)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", folder, path);
    return watched_path(whole, name);
}

int rename(const char *from, const char *to) {
    char old[PATH_MAX], new[PATH_MAX], kept[PATH_MAX + 64], renamed[PATH_MAX + 64];
    int answer = real_rename(from, to), why = errno;
    if (answer == 0 && watched_name(from, old) && watched_name(to, new)) {
        pthread_mutex_lock(&lock);
        snprintf(kept, sizeof kept, "%s/%s", durable, old);
        snprintf(renamed, sizeof renamed, "%s/%s.renamed", durable, new);
        real_rename(kept, renamed); /* where the file itself was never synced there is nothing to keep */
        pthread_mutex_unlock(&lock);
    }
    errno = why;
    return answer;
}

static int synced(int fd, int (*really)(int)) {
    char name[PATH_MAX];
    if (is_root(fd)) {
        int answer = really(fd);
        pthread_mutex_lock(&lock);
        if (answer == 0) keep_names();
        pthread_mutex_unlock(&lock);
        return answer;
    }
    if (!watched(fd, name)) return really(fd);
    pthread_mutex_lock(&lock);
    int64_t number = control ? ++control->syncs : 0;
    int fails = control && control->fail_from && number >= control->fail_from &&
                number < control->fail_from + control->fail_count;
    int answer = -1;
    if (fails) {
        control->failed++;
        lose(fd, name);
    } else {
        answer = really(fd);
        if (answer == 0) keep(fd, name);
    }
    pthread_mutex_unlock(&lock);
    if (fails) errno = EIO;
    return answer;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }
