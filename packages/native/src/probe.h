// Linear layers over random weights, timed: what this machine reads and multiplies at best with the step's own kernels, threads and pages.
#pragma once
#include <cstddef>
#include <vector>

#include "buffer.h"
#include "linear.h"
#include "thread-pool.h"

namespace parscale {

class Probe {
 public:
  // A matrix of about so many bytes. Throws std::bad_alloc.
  Probe(const Kernels& kernels, size_t threads, Format format, size_t bytes);

  size_t bytes() const { return matrix_.panels() * matrix_.panelBytes(); }
  // Multiplications and additions of a product with so many rows.
  double operations(size_t rows) const { return 2.0 * double(matrix_.outputs) * double(matrix_.inputs) * double(rows); }
  // Multiplies once: seconds.
  double run(size_t rows);

 private:
  ThreadPool pool_;
  LinearLayers linear_;
  Matrix matrix_;
  Buffer<uint8_t> weights_;
  Buffer<float> out_;
  std::vector<float> in_;
};

}  // namespace parscale
