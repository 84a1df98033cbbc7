// Windows calls handlers of Ctrl-C on a thread of their own, the one that was added last first. Node's only wakes the event loop,
// which never comes to it while JavaScript or an addon computes.
#include "interrupts.h"

#include <windows.h>

#include "interruption.h"

namespace parscale {
namespace {

Interruptions interruptions;
std::atomic<bool> ending{false}, watching{false};

struct Console {
  HANDLE handle = INVALID_HANDLE_VALUE;
  DWORD mode = 0;
  bool known = false;
};
Console consoles[] = {{}, {}, {}};

int64_t nowNs() {
  LARGE_INTEGER count, perSecond;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&perSecond);
  return int64_t(double(count.QuadPart) / double(perSecond.QuadPart) * 1e9);
}

BOOL WINAPI onEvent(DWORD event) {
  if (event != CTRL_C_EVENT) return FALSE;
  // The first one goes on to Node.
  if (!interruptions.ends(int(event), nowNs()) && !ending) return FALSE;
  for (const Console& console : consoles)
    if (console.known) SetConsoleMode(console.handle, console.mode);
  // ExitProcess would wait for what computes.
  TerminateProcess(GetCurrentProcess(), interruptedExitCode);
  return TRUE;
}

}  // namespace

void watchInterrupts() {
  if (watching.exchange(true)) return;
  const DWORD names[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
  for (int i = 0; i < 3; i++) {
    consoles[i].handle = GetStdHandle(names[i]);
    consoles[i].known = GetConsoleMode(consoles[i].handle, &consoles[i].mode);
  }
  SetConsoleCtrlHandler(onEvent, TRUE);
}

void endAtInterrupts() { ending = interruptions.any(); }

void forgetInterrupt() { interruptions.forget(); }

}  // namespace parscale
