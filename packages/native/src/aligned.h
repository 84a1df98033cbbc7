// Memory that is aligned for any register. std::aligned_alloc is not on Windows.
#pragma once
#include <cstddef>
#include <new>

namespace parscale {

constexpr std::align_val_t registerAlignment{64};

// Throws std::bad_alloc.
inline void* allocateAligned(size_t bytes) { return ::operator new(bytes, registerAlignment); }
inline void freeAligned(void* memory) { ::operator delete(memory, registerAlignment); }

}  // namespace parscale
