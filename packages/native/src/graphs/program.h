// A graph as steps over memory, as program.ts writes them. Numbers are checked against the size of each block when a program is read, so that
// running it needs no checks.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../buffer.h"
#include "../thread-pool.h"
#include "graph-kernels.h"

namespace parscale {

// A place in one of the program's blocks of memory: the arena, then inputs, outputs and constants.
struct Place {
  uint32_t block = 0;
  size_t offset = 0;  // bytes
};

// What a step runs with.
struct Run {
  const GraphKernels& kernels;
  ThreadPool& pool;
  uint8_t* const* blocks;
  // Room for each thread, and for all: as much as the step has said that it needs.
  std::vector<Buffer<float>>& own;
  Buffer<float>& shared;
  // Set by a step that met an index behind its table.
  std::atomic<bool>& badIndex;

  template <class T>
  T* at(Place place) const { return reinterpret_cast<T*>(blocks[place.block] + place.offset); }
};

struct Step {
  virtual ~Step() = default;
  virtual void run(const Run&) const = 0;
  // Floats of scratch for each thread, and for all together. Taken beforehand: nothing may be thrown while threads run.
  virtual size_t ownFloats(const GraphKernels&) const { return 0; }
  virtual size_t sharedFloats(const GraphKernels&) const { return 0; }
};

class Program {
 public:
  // `code`: see program.ts. Throws a Failure for what is none.
  Program(const double* code, size_t size, std::vector<size_t> blockBytes, size_t threads, bool exact);

  const std::vector<size_t>& blockBytes() const { return blockBytes_; }
  // blocks[0], the arena, is the program's own. `stopped` is asked between steps; false: it was stopped. `progress`, where given, is how many steps
  // are done: what they have written is there for who reads it. Throws a Failure for an index behind its table.
  bool run(std::vector<uint8_t*> blocks, const std::function<bool()>& stopped, std::atomic<int32_t>* progress = nullptr);
  // From now on, the processor time of each step, in seconds over all runs.
  void measure() { seconds_.assign(steps_.size(), 0); }
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  const GraphKernels& kernels_;
  std::vector<size_t> blockBytes_;
  std::vector<std::unique_ptr<const Step>> steps_;
  // Empty where nobody measures.
  std::vector<double> seconds_;
  Buffer<uint8_t> arena_;
  ThreadPool pool_;
  std::vector<Buffer<float>> own_;
  Buffer<float> shared_;
};

// Reads the numbers of a program.
class Reader {
 public:
  Reader(const double* at, const double* end, const std::vector<size_t>& blockBytes) : at_(at), end_(end), blockBytes_(blockBytes) {}
  bool done() const { return at_ == end_; }
  double number();
  int64_t integer(int64_t least, int64_t most);
  size_t size() { return size_t(integer(0, int64_t(1) << 40)); }
  Place place();
  // Throws unless `elements` of `width` bytes from the place on are in its block.
  void holds(const Place&, size_t elements, size_t width = 4) const;
  // Products and sums of sizes; what is too large for any block is refused.
  static size_t times(size_t a, size_t b);
  static size_t plus(size_t a, size_t b);
  // Elements that `n` steps of `stride` reach, without the first.
  static size_t reach(size_t n, size_t stride) { return times(n - 1, stride); }

 private:
  const double *at_, *end_;
  const std::vector<size_t>& blockBytes_;
};

// The kinds of steps, in their files.
std::unique_ptr<const Step> readProduct(Reader&);
std::unique_ptr<const Step> readRowKernel(Reader&);
std::unique_ptr<const Step> readMove(int64_t kind, Reader&);

}  // namespace parscale
