// Rows of a checkpoint as they are stored, and as panels (kernels.h): the same integers and scales in another order.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace parscale {

// How numbers are stored: floats, or blocks of integers as GGUF files have them. The numbers are ggml's.
enum class StoredType : uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8, q4_K = 12, q5_K = 13, q6_K = 14, bf16 = 30 };

// What there is of a type; `elements` 0: it is not one of them.
struct StoredFormat {
  // A block's numbers, and its bytes.
  size_t elements = 0, bytes = 0;
  // What a matrix becomes: `format`, and of integers the numbers that share a scale.
  Format format = Format::f32;
  uint32_t blockSize = 0;
  bool hasMinima = false;

  size_t rowBytes(size_t inputs) const { return inputs / elements * bytes; }
};
StoredFormat storedFormat(uint32_t type);

// One panel of `m` from its rows, at most 16. False where a scale is not finite. `m` is as storedFormat says.
bool fillPanel(const Matrix& m, StoredType, const uint8_t* const* rows, size_t count, uint8_t* panel);

// A number of f32, f16 or bf16.
float widened(StoredType, const uint8_t* from);

}  // namespace parscale
