#include "thread-pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace parscale {
namespace {

// Looks for about 100 microseconds before a thread goes to sleep in the middle of a step.
constexpr int looks = 4000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr uint32_t jobOf(uint64_t ticket) { return uint32_t(ticket >> 32); }
constexpr uint32_t openItems(uint64_t ticket) { return uint32_t(ticket); }

}  // namespace

ThreadPool::ThreadPool(size_t threads) {
  try {
    for (size_t thread = 1; thread < threads; thread++) workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {
    // The system gives no more threads: those that it gave are enough.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::runJob(size_t items, Call call, void* context) {
  if (items == 0) return;
  const uint32_t job = jobOf(ticket_.load(std::memory_order_relaxed)) + 1;
  call_ = call;
  context_ = context;
  items_ = items;
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(uint64_t(job) << 32 | items);
  // A thread on its way to sleep either sees the ticket, or is counted here: both are sequentially consistent.
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  takeItems(job, 0);
  while (done_.load(std::memory_order_acquire) < items) pause();
}

void ThreadPool::takeItems(uint32_t job, size_t thread) {
  Ticket ticket = ticket_.load(std::memory_order_acquire);
  while (jobOf(ticket) == job && openItems(ticket) > 0) {
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire)) continue;
    // The job cannot end while this item is open, so what belongs to it stays as it is.
    call_(context_, items_ - openItems(ticket), thread);
    done_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

// Waits for a job after `last`, or for the end.
uint32_t ThreadPool::nextJob(uint32_t last) {
  for (int look = 0; look < looks && awake_.load(std::memory_order_relaxed); look++) {
    const uint32_t job = jobOf(ticket_.load(std::memory_order_acquire));
    if (job != last) return job;
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, [&] { return stopped_.load() || jobOf(ticket_.load()) != last; });
  sleepers_.fetch_sub(1);
  return jobOf(ticket_.load());
}

void ThreadPool::work(size_t thread) {
  uint32_t job = 0;
  while (!stopped_.load(std::memory_order_relaxed)) {
    job = nextJob(job);
    takeItems(job, thread);
  }
}

}  // namespace parscale
