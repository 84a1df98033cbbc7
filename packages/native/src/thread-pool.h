// Threads that share out numbered items of work. They sleep between steps; within one they wait for the next job by looking, as
// a job is shorter than a wake-up.
//
// Whoever calls `run` works too, so a pool of one has no thread of its own. Each thread has a share of neighbouring items, and takes
// from the ends of the others' shares when its own is done: a thread that the system holds up never holds up the others. What is
// computed must not depend on who computes it.
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

  // The first item of a thread's share; that of the thread behind the last is `items`.
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

  // Items [first, end) of a share that nobody has taken yet: `first` in the upper half. A share says all there is to say about what
  // is left, so taking from it by compare-and-swap is right whatever happened since it was looked at.
  struct alignas(64) Share {
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
  std::unique_ptr<Share[]> shares_;
  // Written only while no item is left, read only by holders of one.
  Call call_ = nullptr;
  void* context_ = nullptr;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace parscale
