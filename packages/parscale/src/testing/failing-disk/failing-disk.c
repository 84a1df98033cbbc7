/*
 * A disk that fails, for one process and its children: preloaded, it counts the calls that write below a folder, and makes
 * the n-th one fail, and those after it. A write that fails first takes half of what it was given, as a full disk does.
 *
 *   FAILING_DISK        the folder
 *   FAILING_DISK_STATE  a file of 4096 bytes that the processes share: the count, then in words what failed first
 *   FAILING_DISK_LIST   a file that gets a line for each of these calls: its number, what it is, the path
 *   FAILING_DISK_AT     n, from 1 on; 0 counts only
 *   FAILING_DISK_ERROR  errno. EIO and EROFS make removing fail as well; those of a full disk do not
 *   FAILING_DISK_ONCE   set: only that one call fails
 *   FAILING_DISK_SHORT  set: nothing fails; every write from there on takes half of what it was given
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(name)*)real(#name))

static void* real(const char* name) { return dlsym(RTLD_NEXT, name); }

static struct { int count; char first[4000]; }* state;
static const char* folder;
static int at, number, once, half, list;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("FAILING_DISK_STATE");
  folder = getenv("FAILING_DISK");
  if (!path || !folder) return;
  int file = ((int (*)(const char*, int, ...))real("open64"))(path, O_RDWR);
  void* shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == MAP_FAILED) abort();
  list = ((int (*)(const char*, int, ...))real("open64"))(getenv("FAILING_DISK_LIST"), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (list < 0) abort();
  at = atoi(getenv("FAILING_DISK_AT") ?: "0");
  number = atoi(getenv("FAILING_DISK_ERROR") ?: "28");
  once = getenv("FAILING_DISK_ONCE") != 0;
  half = getenv("FAILING_DISK_SHORT") != 0;
  state = shared;
}

static int below(const char* path) { return state && path && strncmp(path, folder, strlen(folder)) == 0; }
/* The system knows it best: numbers of files are used again, and a forked child closes its own. */
static const char* nameOf(int file) {
  static __thread char path[4096];
  char link[32];
  if (!state) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path) ? path : 0;
}
static int denies(void) { return number == EIO || number == EROFS; }

/* 0: goes on; 1: half of it, then what `fails` says; 2: fails. */
static int turn(const char* call, const char* path) {
  int mine = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
  char line[4200];
  int length = snprintf(line, sizeof line, "%d %s %s\n", mine, call, path);
  if (REAL(write)(list, line, length) != length) abort();
  if (at == 0 || mine < at) return 0;
  if (mine == at) snprintf(state->first, sizeof state->first, "%s %s", call, path);
  if (half) return 1;
  return mine == at ? 1 : once ? 0 : 2;
}

static int fails(const char* call, const char* path) {
  if (!below(path) || turn(call, path) == 0 || half) return 0;
  errno = number;
  return 1;
}

/* What cannot be done on a disk that fails as a whole, and can on a full one. */
static int denied(const char* path) {
  if (!below(path) || half || once || at == 0 || !denies() || state->count < at) return 0;
  errno = number;
  return 1;
}

static int opened(const char* path, int flags, int mode, const char* name) {
  struct stat found;
  int makes = (flags & O_CREAT) && lstat(path, &found) != 0;
  if (makes ? fails("open", path) : (flags & O_ACCMODE) != O_RDONLY && number == EROFS && denied(path)) return -1;
  return ((int (*)(const char*, int, ...))real(name))(path, flags, mode);
}

#define OPEN(name)                                      \
  int name(const char* path, int flags, ...) {          \
    va_list rest;                                       \
    va_start(rest, flags);                              \
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0; \
    va_end(rest);                                       \
    return opened(path, flags, mode, #name);            \
  }
OPEN(open)
OPEN(open64)

/* How many of the bytes may be written: all, half of them, or -1 with errno. */
static ssize_t room(const char* call, int file, size_t bytes) {
  if (!nameOf(file)) return bytes;
  int now = turn(call, nameOf(file));
  if (now == 0) return bytes;
  if (now == 1 && bytes > 1 && (half || !denies())) return bytes / 2;
  if (half) return bytes;
  errno = number;
  return -1;
}

ssize_t write(int file, const void* bytes, size_t length) {
  ssize_t most = room("write", file, length);
  return most < 0 ? -1 : REAL(write)(file, bytes, most);
}
/* The native module's. */
ssize_t pwrite(int file, const void* bytes, size_t length, off_t offset) {
  ssize_t most = room("write", file, length);
  return most < 0 ? -1 : REAL(pwrite)(file, bytes, most, offset);
}
ssize_t pwrite64(int file, const void* bytes, size_t length, off64_t offset) {
  ssize_t most = room("write", file, length);
  return most < 0 ? -1 : REAL(pwrite64)(file, bytes, most, offset);
}
static size_t total(const struct iovec* parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}
/* Of several parts the first alone, or half of it, is what a short write takes. */
ssize_t writev(int file, const struct iovec* parts, int count) {
  size_t all = total(parts, count);
  ssize_t most = room("write", file, all);
  if (most < 0) return -1;
  if ((size_t)most == all) return REAL(writev)(file, parts, count);
  return REAL(write)(file, parts[0].iov_base, (size_t)most < parts[0].iov_len ? (size_t)most : parts[0].iov_len);
}
ssize_t pwritev64(int file, const struct iovec* parts, int count, off64_t offset) {
  size_t all = total(parts, count);
  ssize_t most = room("write", file, all);
  if (most < 0) return -1;
  if ((size_t)most == all) return REAL(pwritev64)(file, parts, count, offset);
  return REAL(pwrite64)(file, parts[0].iov_base, (size_t)most < parts[0].iov_len ? (size_t)most : parts[0].iov_len, offset);
}
ssize_t sendfile64(int to, int from, off64_t* offset, size_t length) {
  ssize_t most = room("sendfile", to, length);
  return most < 0 ? -1 : REAL(sendfile64)(to, from, offset, most);
}

int fsync(int file) { return nameOf(file) && fails("fsync", nameOf(file)) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return nameOf(file) && fails("fsync", nameOf(file)) ? -1 : REAL(fdatasync)(file); }
int ftruncate64(int file, off64_t length) { return nameOf(file) && denied(nameOf(file)) ? -1 : REAL(ftruncate64)(file, length); }
int mkdir(const char* path, mode_t mode) {
  struct stat found;
  return lstat(path, &found) != 0 && fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}
int rename(const char* from, const char* to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int symlink(const char* to, const char* path) { return fails("symlink", path) ? -1 : REAL(symlink)(to, path); }
int link(const char* to, const char* path) { return fails("link", path) ? -1 : REAL(link)(to, path); }
int unlink(const char* path) { return denied(path) ? -1 : REAL(unlink)(path); }
int rmdir(const char* path) { return denied(path) ? -1 : REAL(rmdir)(path); }
int utimensat(int at, const char* path, const struct timespec times[2], int flags) {
  return denied(path) ? -1 : REAL(utimensat)(at, path, times, flags);
}
