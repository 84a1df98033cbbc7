// Scratch memory of a step: aligned for any register, kept between steps, grown on demand.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "aligned.h"

namespace parscale {

// Asks for huge pages where that is worth it: rows of results lie in pages of their own, of which a core remembers few.
inline void preferHugePages(void* memory, size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t huge = 2 * 1024 * 1024;
  const uintptr_t from = (uintptr_t(memory) + huge - 1) / huge * huge, to = (uintptr_t(memory) + bytes) / huge * huge;
  // Only a wish: what the system answers makes no difference.
  if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

template <class T>
class Buffer {
 public:
  // Room for n numbers of any content. Throws std::bad_alloc.
  T* room(size_t n) {
    if (n > size_) {
      memory_.reset();
      size_ = 0;
      if (n > SIZE_MAX / sizeof(T) - 64) throw std::bad_alloc();
      memory_.reset(static_cast<T*>(allocateAligned(n * sizeof(T))));
      preferHugePages(memory_.get(), n * sizeof(T));
      size_ = n;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(T* memory) const { freeAligned(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  size_t size_ = 0;
};

}  // namespace parscale
