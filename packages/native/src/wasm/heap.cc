// Memory for what is made anew while a model runs: blocks at multiples of 64 bytes, the first free one that is large enough, and what is freed goes
// together with its free neighbours. The C library's own rounds up to powers of two and never puts anything together.
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>

namespace parscale {

[[noreturn]] void noMemoryLeft();

namespace {

constexpr size_t unit = 64, wasmPage = 65536, leastGrowth = 16;

// A block begins with its size; free ones are a list in the order of addresses.
struct Block {
  size_t size;
  Block* next;
};
Block* firstFree = nullptr;

void give(Block* block) {
  Block** at = &firstFree;
  Block* before = nullptr;
  while (*at && *at < block) at = &(before = *at)->next;
  const auto endsAt = [](Block* one, Block* two) { return reinterpret_cast<uint8_t*>(one) + one->size == reinterpret_cast<uint8_t*>(two); };
  block->next = *at;
  *at = block;
  if (block->next && endsAt(block, block->next)) {
    block->size += block->next->size;
    block->next = block->next->next;
  }
  if (before && endsAt(before, block)) {
    before->size += block->size;
    before->next = block->next;
  }
}

// Null where there is not so much.
void* take(size_t bytes) {
  if (bytes > SIZE_MAX - 2 * wasmPage) return nullptr;
  const size_t size = (bytes + unit - 1) / unit * unit + unit;
  for (Block** at = &firstFree; *at; at = &(*at)->next) {
    Block* block = *at;
    if (block->size < size) continue;
    if (block->size - size >= 2 * unit) {
      Block* rest = reinterpret_cast<Block*>(reinterpret_cast<uint8_t*>(block) + size);
      *rest = {block->size - size, block->next};
      *at = rest;
      block->size = size;
    } else {
      *at = block->next;
    }
    return reinterpret_cast<uint8_t*>(block) + unit;
  }
  const size_t needed = (size + wasmPage - 1) / wasmPage;
  for (const size_t pages : {needed > leastGrowth ? needed : leastGrowth, needed}) {
    const size_t before = __builtin_wasm_memory_grow(0, pages);
    if (before == SIZE_MAX) continue;
    Block* block = reinterpret_cast<Block*>(before * wasmPage);
    block->size = pages * wasmPage;
    give(block);
    return take(bytes);
  }
  return nullptr;
}

void* mustTake(size_t bytes) {
  if (void* memory = take(bytes)) return memory;
  noMemoryLeft();
}

void free(void* memory) {
  if (memory) give(reinterpret_cast<Block*>(static_cast<uint8_t*>(memory) - unit));
}

}  // namespace
}  // namespace parscale

void* operator new(size_t bytes) { return parscale::mustTake(bytes); }
void* operator new[](size_t bytes) { return parscale::mustTake(bytes); }
void* operator new(size_t bytes, std::align_val_t) { return parscale::mustTake(bytes); }
void* operator new[](size_t bytes, std::align_val_t) { return parscale::mustTake(bytes); }
void* operator new(size_t bytes, std::align_val_t, const std::nothrow_t&) noexcept { return parscale::take(bytes); }
void operator delete(void* memory) noexcept { parscale::free(memory); }
void operator delete[](void* memory) noexcept { parscale::free(memory); }
void operator delete(void* memory, size_t) noexcept { parscale::free(memory); }
void operator delete[](void* memory, size_t) noexcept { parscale::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { parscale::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { parscale::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { parscale::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { parscale::free(memory); }
