#include "program.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../error.h"

namespace parscale {

double Reader::number() {
  if (at_ == end_) throw badCall("the program ends in the middle of a step");
  return *at_++;
}

int64_t Reader::integer(int64_t least, int64_t most) {
  const double x = number();
  if (!(x >= double(least) && x <= double(most)) || x != std::floor(x))
    throw badCall("the program has " + std::to_string(x) + " where an integer from " + std::to_string(least) + " to " + std::to_string(most) + " is expected");
  return int64_t(x);
}

Place Reader::place() {
  Place place;
  place.block = uint32_t(integer(0, int64_t(blockBytes_.size()) - 1));
  place.offset = size();
  return place;
}

namespace {
constexpr size_t mostElements = size_t(1) << 44;
}

size_t Reader::times(size_t a, size_t b) {
  if (b != 0 && a > mostElements / b) throw badCall("the program has a table of more than 2^44 elements");
  return a * b;
}

size_t Reader::plus(size_t a, size_t b) {
  if (a > mostElements || b > mostElements) throw badCall("the program has a table of more than 2^44 elements");
  return a + b;
}

void Reader::holds(const Place& place, size_t elements, size_t width) const {
  if (elements > mostElements || place.offset % 4 != 0 || place.offset + elements * width > blockBytes_[place.block])
    throw badCall("the program reaches behind block " + std::to_string(place.block));
}

Program::Program(const double* code, size_t size, std::vector<size_t> blockBytes, size_t threads, bool exact)
    : kernels_(graphKernels(exact)), blockBytes_(std::move(blockBytes)), pool_(threads), own_(pool_.threads()) {
  Reader reader(code, code + size, blockBytes_);
  while (!reader.done()) {
    const int64_t kind = reader.integer(0, 15);
    steps_.push_back(kind == 0 ? readProduct(reader) : kind == 1 ? readRowKernel(reader) : readMove(kind, reader));
  }
  size_t own = 0, shared = 0;
  for (const auto& step : steps_) {
    own = std::max(own, step->ownFloats(kernels_));
    shared = std::max(shared, step->sharedFloats(kernels_));
  }
  for (Buffer<float>& room : own_) room.room(own + 16);
  shared_.room(shared + 16);
  [[maybe_unused]] uint8_t* arena = arena_.room(blockBytes_[0] + 64);
#if defined(__linux__)
  // Matrices are read along both axes: with small pages every step across would need another one's address.
  madvise(reinterpret_cast<void*>((uintptr_t(arena) + 4095) / 4096 * 4096), blockBytes_[0] / 4096 * 4096, MADV_HUGEPAGE);
#endif
}

bool Program::run(std::vector<uint8_t*> blocks, const std::function<bool()>& stopped, std::atomic<int32_t>* progress) {
  blocks[0] = arena_.room(blockBytes_[0] + 64);
  const ThreadPool::Awake awake(pool_);
  std::atomic<bool> badIndex{false};
  const Run run{kernels_, pool_, blocks.data(), own_, shared_, badIndex};
  for (size_t i = 0; i < steps_.size(); i++) {
    if (stopped()) return false;
    const std::clock_t before = seconds_.empty() ? 0 : std::clock();
    steps_[i]->run(run);
    if (!seconds_.empty()) seconds_[i] += double(std::clock() - before) / CLOCKS_PER_SEC;
    if (badIndex) throw badCall("an index lies outside of its table");
    if (progress) progress->store(int32_t(i + 1), std::memory_order_release);
  }
  return true;
}

}  // namespace parscale
