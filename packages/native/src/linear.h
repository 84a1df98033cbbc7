// Linear layers over a pool of threads: several matrices may read the same rows, and are then one product to the memory.
#pragma once
#include <deque>
#include <vector>

#include "buffer.h"
#include "kernels/kernels.h"
#include "thread-pool.h"

namespace parscale {

// out[row * stride + n] = (weights x)[n] + bias[n], or added to what stands there.
struct Linear {
  const Matrix* weights;
  const float* bias;
  float* out;
  size_t stride;
  bool add = false;
};

class LinearLayers {
 public:
  LinearLayers(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // `source(row)` gives a row of inputs, and may compute it: it is called once for each, by any thread. All matrices have the
  // same number of inputs. Throws std::bad_alloc before anything is computed.
  template <class Source>
  void run(size_t rows, const std::vector<Linear>& layers, Source source) {
    prepare(rows, layers);
    pool_.run(rows, [&](size_t row, size_t) { fill(row, source(row)); });
    multiply(rows, layers);
  }

 private:
  // The inputs in tiles, once for each block size in use.
  struct Inputs {
    size_t blockSize = 0;
    std::vector<Tile> tiles;
    Buffer<float> floats, scales;
    Buffer<int8_t> integers;
    Buffer<int32_t> sums;
  };

  void prepare(size_t rows, const std::vector<Linear>& layers);
  void fill(size_t row, const float* x);
  void multiply(size_t rows, const std::vector<Linear>& layers);
  void multiplyPanel(const Linear& layer, size_t panel, const Inputs& inputs, size_t firstTile, size_t lastTile) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  size_t inputs_ = 0;
  // A deque: growing it moves nothing.
  std::deque<Inputs> byBlockSize_;
  size_t blockSizes_ = 0;
};

}  // namespace parscale
