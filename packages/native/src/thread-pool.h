// Threads that work through numbered items. They sleep between steps and spin within one, because a job is shorter than a wake-up.
//
// The caller of `run` works too, so a pool of one has no thread of its own. Each thread starts with a range of neighbouring items
// and steals from the ends of other ranges when its own is done, so a thread that the system delays does not delay the others.
// Results must not depend on which thread computes an item.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace parscale {

class ThreadPool {
 public:
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t threads() const { return workers_.size() + 1; }

  // The first item of a thread's range; that of the thread behind the last is `items`.
  size_t firstItem(size_t items, size_t thread) const { return items * thread / threads(); }

  // Calls work(item, thread) for every item once, on several threads, and returns when all are done. `work` must not throw.
  template <class Work>
  void run(size_t items, Work&& work) {
    if (items == 1 || workers_.empty()) {
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
  void runItem(uint32_t item, size_t thread);
  uint32_t nextJob(uint32_t last);
  void work(size_t thread);

  std::atomic<uint32_t> job_{0};
  std::atomic<size_t> done_{0};
  std::atomic<bool> awake_{false}, stopped_{false};
  std::atomic<int> sleepers_{0};
  std::unique_ptr<Range[]> ranges_;
  // Written only while no item is left, read only by holders of one.
  Call call_ = nullptr;
  void* context_ = nullptr;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace parscale
