// Scratch memory of a step: aligned for any register, kept between steps, grown on demand.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "aligned.h"

namespace parscale {

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
