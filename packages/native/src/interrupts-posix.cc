// Node's own handler of a signal only wakes the event loop, which never comes to it while JavaScript or an addon computes. This one
// stands in front of it. It calls nothing that POSIX does not allow in a handler (signal-safety(7)).
#include "interrupts.h"

#include "bus-error.h"
#include "interruption.h"

#include <signal.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace parscale {
namespace {

struct Watched {
  int signal;
  struct sigaction before;
};
Watched watched[] = {{SIGINT, {}}, {SIGTERM, {}}};

Interruptions interruptions;

int terminalFile = -1;
struct termios terminal;

int64_t nowNs() {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

void restoreTerminal() {
  if (terminalFile >= 0) tcsetattr(terminalFile, TCSANOW, &terminal);
}

[[noreturn]] void end() {
  restoreTerminal();
  _exit(interruptedExitCode);
}

void onSignal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  if (interruptions.ends(signal, nowNs())) end();
  for (const Watched& one : watched) {
    if (one.signal != signal) continue;
    if (one.before.sa_flags & SA_SIGINFO) one.before.sa_sigaction(signal, info, context);
    else one.before.sa_handler(signal);
  }
  errno = error;
}

}  // namespace

void watchInterrupts() {
  for (int file = STDIN_FILENO; terminalFile < 0 && file <= STDERR_FILENO; file++)
    if (tcgetattr(file, &terminal) == 0) terminalFile = file;
  nameBusErrors(restoreTerminal);
  for (Watched& one : watched) {
    struct sigaction now;
    if (sigaction(one.signal, nullptr, &now) != 0) continue;
    const bool handled = now.sa_flags & SA_SIGINFO || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
    if (!handled || (now.sa_flags & SA_SIGINFO && now.sa_sigaction == onSignal)) continue;
    one.before = now;
    struct sigaction ours {};
    ours.sa_sigaction = onSignal;
    ours.sa_flags = SA_RESTART | SA_SIGINFO;
    // None comes in between; SIGTTOU is what a process in the background would get for setting the terminal.
    sigfillset(&ours.sa_mask);
    sigaction(one.signal, &ours, nullptr);
  }
}

void endAtInterrupts() {
  if (!interruptions.any()) return;
  struct sigaction last {};
  last.sa_handler = [](int) { end(); };
  sigfillset(&last.sa_mask);
  for (const Watched& one : watched) sigaction(one.signal, &last, nullptr);
}

void forgetInterrupt() { interruptions.forget(); }

}  // namespace parscale
