// What running a graph prefetches of an instruction set: arithmetic on blocks of floats in the cache, and the inner product of matrices.
#pragma once
#include <cstddef>
#include <cstdint>

namespace parscale {

// The numbers stand in programs (program.ts).
enum class Op : uint8_t {
  neg, exp, log, sqrt, sigmoid, tanh, reciprocal, abs, copy,
  add, sub, mul, div, min,
  rowSum, rowMax, rowSumSquare, columnSum,
};

// How two operands of a block [rows, columns] meet.
enum class Meeting : uint8_t {
  elements,   // element by element
  secondRow,  // the second has one number a row
  firstRow,
  secondOne,  // the second is one number
  firstOne,
};

struct Block {
  size_t rows, columns;
};

struct GraphKernels {
  const char* name;
  // The tile that `product` computes, and what its K is a multiple of: packing adds zeros.
  size_t tileRows, tileColumns, depthStep;
  // Around products, on each thread.
  void (*begin)();
  void (*end)();

  void (*unary)(Op, const float* a, size_t n, float* out);
  void (*binary)(Op, Meeting, const float* a, const float* b, Block, float* out);
  // One number for each row.
  void (*reduce)(Op, const float* a, Block, float* out);
  // sums[column] += the sum over the rows, in their order.
  void (*columnSum)(const float* a, Block, float* sums);
  // Sum of squares.
  double (*sumSquares)(const float* a, size_t n);

  // c [tileRows][tileColumns], rows `stride` apart, = A B, of packed panels; with `onto`, that is added to what is there.
  void (*product)(const float* a, const float* b, size_t K, bool onto, float* c, size_t stride);
  // c [rows][columns] = alpha * tile + (onto ? onto : 0), of a tile with rows of tileColumns.
  void (*scaleOnto)(const float* tile, float alpha, const float* onto, size_t ontoStride, Block, float* c, size_t stride);
  // A tile's rows of A or columns of B as a panel of K times as many numbers, from x at i * iStride + k * kStride; what lies behind `have` is 0.
  void (*packRows)(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, float* out);
  void (*packColumns)(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, float* out);
  // Pairs (i, i + half) of one head turned.
  void (*rotate)(const float* x, const float* cos, const float* sin, size_t half, float* out);
  void (*addTo)(float* onto, const float* x, size_t n);
};

// The best of this CPU. `exact`: products in float32 throughout.
const GraphKernels& graphKernels(bool exact);

}  // namespace parscale
