// Which interruption ends the process: the second, unless it is an echo of the first. For handlers: nothing here waits for a lock.
#pragma once
#include <atomic>
#include <cstdint>

namespace parscale {

// What a command that was interrupted ends with (docs/cli.md).
constexpr int interruptedExitCode = 130;

class Interruptions {
 public:
  // Counts one of this signal at this time.
  bool ends(int signal, int64_t nowNs) {
    int64_t first = 0;
    if (!firstNs_.compare_exchange_strong(first, nowNs)) return signal != firstSignal_ || nowNs - first > echoNs;
    firstSignal_ = signal;
    return false;
  }
  bool any() const { return firstNs_ != 0; }
  void forget() { firstNs_ = 0; }

 private:
  // A launcher may pass a Ctrl-C on to a child that has it from the terminal already: the same signal, a few milliseconds later.
  static constexpr int64_t echoNs = 100'000'000;
  static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "a handler must not wait for a lock");
  // 0 before the first.
  std::atomic<int64_t> firstNs_{0};
  std::atomic<int> firstSignal_{0};
};

}  // namespace parscale
