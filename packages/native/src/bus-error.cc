// Lengths of mapped files are compared before each use, so that a file that was cut short is an error like others. What is cut in
// the middle of a use can only be told from a handler. It calls nothing that POSIX does not allow there (signal-safety(7)).
#include "bus-error.h"

#ifdef __linux__

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace parscale {
namespace {

// Of a model's or data file that is damaged (docs/cli.md).
constexpr int exitCode = 3;
constexpr size_t longestLine = 8192;

void (*restoreTerminal)() = nullptr;

// Reads /proc/self/maps line by line.
class Lines {
 public:
  explicit Lines(int file) : file_(file) {}

  // Without its end; nullptr at the end of the file. A line too long to keep loses its end.
  char* next() {
    size_t length = 0;
    for (char c; read(c); line_[length < longestLine - 1 ? length++ : length] = c)
      if (c == '\n') {
        line_[length] = 0;
        return line_;
      }
    return nullptr;
  }

 private:
  bool read(char& c) {
    if (at_ == filled_) {
      filled_ = ::read(file_, bytes_, sizeof bytes_);
      at_ = 0;
      if (filled_ <= 0) return false;
    }
    c = bytes_[at_++];
    return true;
  }

  int file_;
  char bytes_[4096];
  ssize_t filled_ = 0, at_ = 0;
  char line_[longestLine];
};

uintptr_t hexadecimal(const char*& text) {
  uintptr_t value = 0;
  for (;; text++) {
    const char c = *text;
    if (c >= '0' && c <= '9') value = value * 16 + uintptr_t(c - '0');
    else if (c >= 'a' && c <= 'f') value = value * 16 + uintptr_t(c - 'a' + 10);
    else return value;
  }
}

// "START-END rights offset device inode   PATH" (proc(5)); the path of the line that holds `address`, or nullptr.
const char* pathAt(Lines& lines, uintptr_t address) {
  for (const char* line; (line = lines.next());) {
    const uintptr_t start = hexadecimal(line);
    line++;
    const uintptr_t end = hexadecimal(line);
    if (address < start || address >= end) continue;
    return strchr(line, '/');
  }
  return nullptr;
}

void say(const char* text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

void onBusError(int signal, siginfo_t* info, void*) {
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  Lines lines(file);
  const char* path = file < 0 ? nullptr : pathAt(lines, reinterpret_cast<uintptr_t>(info->si_addr));
  if (!path) {
    // Not ours: it comes again, and ends the process as it would have done.
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    sigaction(signal, &usual, nullptr);
    return;
  }
  restoreTerminal();
  say("parscale: ");
  say(path);
  say(": was cut short while it was in use, or its disk fails; run again with a whole file, and replace files by renaming\n");
  _exit(exitCode);
}

}  // namespace

void nameBusErrors(void (*restore)()) {
  restoreTerminal = restore;
  struct sigaction before;
  // Somebody else's handler knows better.
  if (sigaction(SIGBUS, nullptr, &before) != 0 || before.sa_flags & SA_SIGINFO || before.sa_handler != SIG_DFL) return;
  struct sigaction ours {};
  ours.sa_sigaction = onBusError;
  ours.sa_flags = SA_SIGINFO;
  sigfillset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, nullptr);
}

}  // namespace parscale

#else

namespace parscale {
void nameBusErrors(void (*)()) {}
}  // namespace parscale

#endif
