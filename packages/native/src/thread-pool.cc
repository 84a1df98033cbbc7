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

constexpr uint64_t leftOf(size_t first, size_t end) { return uint64_t(first) << 32 | uint32_t(end); }

}  // namespace

#if defined(__wasm__)

void Bed::sleep(std::atomic<uint32_t>& word, uint32_t last) { __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&word), int(last), -1); }
void Bed::wake(std::atomic<uint32_t>& word) { __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&word), ~0u); }

std::atomic<uint32_t> ThreadPool::failed{0};

ThreadPool::ThreadPool(size_t threads) : threads_(threads), ranges_(new Range[threads]) {}

#else

void Bed::sleep(std::atomic<uint32_t>& word, uint32_t last) {
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, [&] { return word.load() != last; });
  sleepers_.fetch_sub(1);
}

void Bed::wake(std::atomic<uint32_t>&) {
  // A thread on its way to sleep either sees the word, or is counted here: both are sequentially consistent.
  if (sleepers_.load() == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
}

ThreadPool::ThreadPool(size_t threads) : threads_(threads), ranges_(new Range[threads]) {
  workers_.reserve(threads - 1);
  try {
    for (size_t thread = 1; thread < threads; thread++) workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {
    // The system gives no more threads: those that it gave are enough, and they look into the ranges of the others.
  }
}

ThreadPool::~ThreadPool() {
  stopped_.store(true);
  job_.fetch_add(1);
  bed_.wake(job_);
  for (std::thread& worker : workers_) worker.join();
}

#endif

bool ThreadPool::Range::takeFirst(uint32_t& item) {
  uint64_t now = left.load(std::memory_order_relaxed);
  while (uint32_t(now >> 32) < uint32_t(now)) {
    item = uint32_t(now >> 32);
    if (left.compare_exchange_weak(now, leftOf(item + 1, uint32_t(now)), std::memory_order_acquire)) return true;
  }
  return false;
}

bool ThreadPool::Range::takeLast(uint32_t& item) {
  uint64_t now = left.load(std::memory_order_relaxed);
  while (uint32_t(now >> 32) < uint32_t(now)) {
    item = uint32_t(now) - 1;
    if (left.compare_exchange_weak(now, leftOf(size_t(now >> 32), item), std::memory_order_acquire)) return true;
  }
  return false;
}

void ThreadPool::runJob(size_t items, Call call, void* context) {
  if (items == 0) return;
  call_ = call;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  for (size_t thread = 0; thread < threads(); thread++)
    ranges_[thread].left.store(leftOf(firstItem(items, thread), firstItem(items, thread + 1)), std::memory_order_release);
  job_.fetch_add(1);
  bed_.wake(job_);
  takeItems(0);
  while (done_.load(std::memory_order_acquire) < items) {
#if defined(__wasm__)
    if (failed.load(std::memory_order_relaxed)) __builtin_trap();
#endif
    pause();
  }
}

// The job cannot end before the items that were taken are counted, so what belongs to it stays as it is until then. They are counted once: a locked
// operation waits for all that was written before it.
void ThreadPool::takeItems(size_t thread) {
  size_t taken = 0;
  uint32_t item;
  for (; ranges_[thread].takeFirst(item); taken++) call_(context_, item, thread);
  for (size_t other = 1; other < threads(); other++)
    for (; ranges_[(thread + other) % threads()].takeLast(item); taken++) call_(context_, item, thread);
  if (taken > 0) done_.fetch_add(taken, std::memory_order_release);
}

// Waits for a job after `last`, or for the end.
uint32_t ThreadPool::nextJob(uint32_t last) {
  for (int look = 0; look < looks && awake_.load(std::memory_order_relaxed); look++) {
    const uint32_t job = job_.load(std::memory_order_acquire);
    if (job != last) return job;
    pause();
  }
  bed_.sleep(job_, last);
  return job_.load();
}

void ThreadPool::work(size_t thread) {
  uint32_t job = 0;
  while (!stopped_.load(std::memory_order_relaxed)) {
    job = nextJob(job);
    takeItems(thread);
  }
}

}  // namespace parscale
