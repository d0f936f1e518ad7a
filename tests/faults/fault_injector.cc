// A library to be preloaded into the program: it makes one call to the file system go wrong, so
// that a test can try every one of them in turn (the habit of SQLite's I/O error tests).
//
//   FAULT_UNDER   only calls that change something under this folder are counted
//   FAULT_AT      the number of the call, from 1
//   FAULT_MODE    fail: the call fails (a full disk; an I/O error where it syncs or renames)
//                 fail-on: so do all calls after it
//                 kill: half a write is done, then the process is gone, as by SIGKILL
//                 kill-after: the same after the whole call
//                 slow: each fsync takes a tenth of a second; FAULT_AT is not looked at
//   FAULT_FIRED   a file that is made when the fault happens
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace {

std::atomic<long> calls{0};

bool ModeIs(const char* name) {
  const char* mode = getenv("FAULT_MODE");
  return mode != nullptr && strcmp(mode, name) == 0;
}

bool IsUnder(const char* path) {
  const char* folder = getenv("FAULT_UNDER");
  return folder != nullptr && strncmp(path, folder, strlen(folder)) == 0;
}

bool IsUnder(int fd) {
  char link[64];
  char path[PATH_MAX + 1];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, PATH_MAX);
  if (length < 0) return false;
  path[length] = '\0';
  return IsUnder(path);
}

void SayFired() {
  if (const char* file = getenv("FAULT_FIRED")) {
    const long fd = syscall(SYS_openat, AT_FDCWD, file, O_CREAT | O_WRONLY, 0644);
    if (fd >= 0) syscall(SYS_close, fd);
  }
}

[[noreturn]] void Die() {
  SayFired();
  raise(SIGKILL);
  abort();
}

// What is to happen to this call, which is under the folder.
enum class Fate { kLive, kFail, kDie, kDieAfter };

Fate Decide() {
  const char* at = getenv("FAULT_AT");
  const long fatal = at != nullptr ? atol(at) : 0;
  const long number = ++calls;
  if (fatal == 0 || number < fatal) return Fate::kLive;
  if (number > fatal && !ModeIs("fail-on")) return Fate::kLive;
  if (ModeIs("kill")) return Fate::kDie;
  if (ModeIs("kill-after")) return Fate::kDieAfter;
  if (!ModeIs("fail") && !ModeIs("fail-on")) return Fate::kLive;
  SayFired();
  return Fate::kFail;
}

template <class Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// Calls the system's function, unless the call is the one to go wrong.
template <class Call>
int Guard(bool counted, int error, Call call) {
  const Fate fate = counted ? Decide() : Fate::kLive;
  if (fate == Fate::kDie) Die();
  if (fate == Fate::kFail) {
    errno = error;
    return -1;
  }
  const int result = call();
  if (fate == Fate::kDieAfter) Die();
  return result;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static auto* const next = Next<ssize_t(int, const void*, size_t)>("write");
  const Fate fate = IsUnder(fd) ? Decide() : Fate::kLive;
  if (fate == Fate::kDie) {
    next(fd, data, size / 2);
    Die();
  }
  if (fate == Fate::kFail) {
    next(fd, data, size / 2);  // what a disk that fills up takes
    errno = ENOSPC;
    return -1;
  }
  const ssize_t written = next(fd, data, size);
  if (fate == Fate::kDieAfter) Die();
  return written;
}

// SQLite writes by this one.
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  static auto* const next = Next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  const Fate fate = IsUnder(fd) ? Decide() : Fate::kLive;
  if (fate == Fate::kDie || fate == Fate::kFail) next(fd, data, size / 2, offset);
  if (fate == Fate::kDie) Die();
  if (fate == Fate::kFail) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t written = next(fd, data, size, offset);
  if (fate == Fate::kDieAfter) Die();
  return written;
}

int fsync(int fd) {
  static auto* const next = Next<int(int)>("fsync");
  if (ModeIs("slow")) usleep(100'000);
  return Guard(IsUnder(fd), EIO, [&] { return next(fd); });
}

int fdatasync(int fd) {
  static auto* const next = Next<int(int)>("fdatasync");
  return Guard(IsUnder(fd), EIO, [&] { return next(fd); });
}

int ftruncate(int fd, off_t length) {
  static auto* const next = Next<int(int, off_t)>("ftruncate");
  return Guard(IsUnder(fd), EIO, [&] { return next(fd, length); });
}

int rename(const char* from, const char* to) {
  static auto* const next = Next<int(const char*, const char*)>("rename");
  return Guard(IsUnder(to), EIO, [&] { return next(from, to); });
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) {
  static auto* const next = Next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return Guard(IsUnder(to), EIO, [&] { return next(from_fd, from, to_fd, to, flags); });
}

int linkat(int from_fd, const char* from, int to_fd, const char* to, int flags) {
  static auto* const next = Next<int(int, const char*, int, const char*, int)>("linkat");
  return Guard(IsUnder(to), EIO, [&] { return next(from_fd, from, to_fd, to, flags); });
}

int mkdir(const char* path, mode_t mode) {
  static auto* const next = Next<int(const char*, mode_t)>("mkdir");
  return Guard(IsUnder(path), ENOSPC, [&] { return next(path, mode); });
}

char* mkdtemp(char* name) {
  static auto* const next = Next<char*(char*)>("mkdtemp");
  char* made = nullptr;
  Guard(IsUnder(name), ENOSPC, [&] {
    made = next(name);
    return 0;
  });
  return made;
}

int mkostemp(char* name, int flags) {
  static auto* const next = Next<int(char*, int)>("mkostemp");
  return Guard(IsUnder(name), ENOSPC, [&] { return next(name, flags); });
}

int unlink(const char* path) {
  static auto* const next = Next<int(const char*)>("unlink");
  return Guard(IsUnder(path), EIO, [&] { return next(path); });
}

int unlinkat(int fd, const char* path, int flags) {
  static auto* const next = Next<int(int, const char*, int)>("unlinkat");
  return Guard(IsUnder(fd), EIO, [&] { return next(fd, path, flags); });
}

int rmdir(const char* path) {
  static auto* const next = Next<int(const char*)>("rmdir");
  return Guard(IsUnder(path), EIO, [&] { return next(path); });
}

}  // extern "C"
