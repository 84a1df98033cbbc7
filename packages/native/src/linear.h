// Linear layers over a pool of threads. Matrices that multiply the same rows run as one product, so the rows are quantised once.
#pragma once
#include <deque>
#include <vector>

#include "adapters.h"
#include "buffer.h"
#include "kernels/kernels.h"
#include "thread-pool.h"

namespace parscale {

// out[row * stride + n] = (weights x)[n] + bias[n], changed by the row's adapter, or added to what stands there.
struct Linear {
  const Matrix* weights;
  const float* bias;
  float* out;
  size_t stride;
  bool add = false;
  const LinearAdapters* adapters = nullptr;
};

class LinearLayers {
 public:
  LinearLayers(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool), prefetches_(pool.threads()), results_(pool.threads()) {}

  // `source(row, prefetch)` gives a row of inputs, and may compute it: it is called once for each, by any thread. All matrices have
  // the same number of inputs. `adapters` is of the rows, where a matrix has any. Throws std::bad_alloc before anything is computed.
  template <class Source>
  void run(size_t rows, const std::vector<Linear>& layers, Source source, const RowAdapters& adapters = {}) {
    prepare(rows, layers);
    adapters_ = adapters;
    if (expected_ != layers[0].weights) expect(rows, layers);
    pool_.run(rows, [&](size_t row, size_t thread) { fill(row, source(row, prefetch(thread)), prefetch(thread)); });
    multiply(rows, layers);
  }

  // Says what `run` will be called with next, so that what is computed before it can prefetch its weights.
  void expect(size_t rows, const std::vector<Linear>& layers);
  // The weights that a thread will read first in the product that is expected.
  Prefetch& prefetch(size_t thread) { return prefetches_[thread].weights; }

 private:
  // How a product is cut into items: runs of panels, once for each block of rows.
  struct Cut {
    size_t panels, run, runs, rowsAtOnce, rowBlocks;
    size_t items() const { return rowBlocks * runs; }
  };
  // A panel of one of the matrices.
  struct Place {
    const Linear* layer;
    size_t panel;
  };
  // On a cache line of its own for each thread.
  struct alignas(64) ThreadPrefetch {
    Prefetch weights;
  };

  // The inputs in tiles, once for each block size in use.
  struct Inputs {
    size_t blockSize = 0;
    // Whether they lie as products of many rows want them.
    bool many = false;
    size_t tileRows = 0;
    std::vector<Tile> tiles;
    Buffer<float> floats, scales;
    Buffer<int8_t> integers;
    Buffer<int32_t> sums;
  };

  bool takesMany(size_t rows, const Matrix&) const;
  void prepare(size_t rows, const std::vector<Linear>& layers);
  void prepareTiles(Inputs& in, size_t rows);
  void fill(size_t row, const float* x, Prefetch& prefetch);
  Cut cut(size_t rows, const std::vector<Linear>& layers) const;
  static Place position(const std::vector<Linear>& layers, size_t panel);
  void multiply(size_t rows, const std::vector<Linear>& layers);
  void adaptOutputs(const Linear& layer, size_t panel, size_t row, size_t rows, float* y) const;
  void multiplyPanel(const Linear& layer, size_t panel, const Inputs& inputs, size_t from, size_t to) const;
  void multiplyMany(const Linear& layer, size_t panel, size_t panels, const Inputs& inputs, size_t from, size_t to, float* room) const;
  // Results of a panel [rows][16], to where they belong.
  void put(const Linear& layer, size_t panel, size_t row, size_t rows, float* y) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  size_t inputs_ = 0;
  // A deque: growing it moves nothing.
  std::deque<Inputs> byBlockSize_;
  size_t blockSizes_ = 0;
  RowAdapters adapters_;
  const Matrix* expected_ = nullptr;
  std::vector<ThreadPrefetch> prefetches_;
  // Of each thread's product of many rows.
  std::vector<Buffer<float>> results_;
};

}  // namespace parscale
