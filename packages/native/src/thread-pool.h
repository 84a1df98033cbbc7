// Threads that work through numbered items. They sleep between steps and spin within one, because a job is shorter than a wake-up.
//
// The caller of `run` works too, so a pool of one has no thread of its own. Each thread starts with a range of neighbouring items
// and steals from the ends of other ranges when its own is done, so a thread that the system delays does not delay the others.
// Results must not depend on which thread computes an item.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__wasm__)
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#endif

namespace parscale {

// Where threads sleep until a word is no longer what it was.
class Bed {
 public:
  void sleep(std::atomic<uint32_t>& word, uint32_t last);
  // After the word has changed.
  void wake(std::atomic<uint32_t>& word);

#if !defined(__wasm__)
 private:
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
#endif
};

class ThreadPool {
 public:
  // In WebAssembly threads come from outside, and go before the pool does: each calls `work`.
  explicit ThreadPool(size_t threads);
#if !defined(__wasm__)
  ~ThreadPool();
#endif
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t threads() const { return threads_; }
  // What thread number `thread` does until the pool ends.
  void work(size_t thread);
#if defined(__wasm__)
  // Set from outside where a thread ends before its item is done.
  static std::atomic<uint32_t> failed;
#endif

  // The first item of a thread's range; that of the thread behind the last is `items`.
  size_t firstItem(size_t items, size_t thread) const { return items * thread / threads(); }

  // Calls work(item, thread) for every item once, on several threads, and returns when all are done. `work` must not throw.
  template <class Work>
  void run(size_t items, Work&& work) {
    if (items == 1 || threads_ == 1) {
      for (size_t item = 0; item < items; item++) work(item, size_t(0));
      return;
    }
    runJob(items, [](void* context, size_t item, size_t thread) { (*static_cast<Work*>(context))(item, thread); }, &work);
  }

  // While one of these lives, threads look for work instead of sleeping.
  class Awake {
   public:
    explicit Awake(ThreadPool& pool) : pool_(pool) { pool_.awake_.store(true, std::memory_order_relaxed); }
    ~Awake() { pool_.awake_.store(false, std::memory_order_relaxed); }
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

   private:
    ThreadPool& pool_;
  };

 private:
  using Call = void (*)(void* context, size_t item, size_t thread);

  // The items [first, end) of a range that no thread has taken yet, `first` in the upper half. One word holds the whole state, so a
  // compare-and-swap that succeeds is right whatever happened since the word was read.
  struct alignas(64) Range {
    std::atomic<uint64_t> left{0};
    bool takeFirst(uint32_t& item);
    bool takeLast(uint32_t& item);
  };

  void runJob(size_t items, Call call, void* context);
  void takeItems(size_t thread);
  uint32_t nextJob(uint32_t last);

  size_t threads_;
  std::atomic<uint32_t> job_{0};
  std::atomic<size_t> done_{0};
  std::atomic<bool> awake_{false}, stopped_{false};
  std::unique_ptr<Range[]> ranges_;
  // Written only while no item is left, read only by holders of one.
  Call call_ = nullptr;
  void* context_ = nullptr;
  Bed bed_;
#if !defined(__wasm__)
  std::vector<std::thread> workers_;
#endif
};

}  // namespace parscale
