// Rows of a checkpoint as they are stored, and as panels (kernels.h): the same integers and scales in another order; or floats, of which
// integers are made by who rounds them (rounding.h).
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace parscale {

// How numbers are stored: floats, or blocks of integers as GGUF files have them; the numbers are ggml's. Or, with a number of our own, integers
// as ONNX Runtime's MatMulNBits takes them, whose scales lie elsewhere.
enum class StoredType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_K = 12,
  q5_K = 13,
  q6_K = 14,
  bf16 = 30,
  integers4 = 1004,
  integers8 = 1008,
};

// What there is of a type; `elements` 0: it is not one of them.
struct StoredFormat {
  // A block's numbers, and its bytes.
  size_t elements = 0, bytes = 0;
  // What a matrix becomes where nothing is rounded or widened: `format`, and of integers the numbers that share a scale, 0 where any number may.
  Format format = Format::f32;
  uint32_t blockSize = 0;
  bool hasMinima = false;

  size_t rowBytes(size_t inputs) const { return inputs / elements * bytes; }
  bool isFloat() const { return format == Format::f32 || format == Format::bf16; }
  bool isGguf() const { return blockSize > 0; }
};
StoredFormat storedFormat(uint32_t type);

// One panel of `m` from its rows, at most 16. False where a scale is not finite. `m` is as storedFormat says.
bool fillPanel(const Matrix& m, StoredType, const uint8_t* const* rows, size_t count, uint8_t* panel);

// The same of integers4 and integers8, from their rows, those of scales [inputs / blockSize], and of zero points as many, or null for the middle.
void fillPanel(const Matrix& m, const uint8_t* const* rows, const float* const* scales, const float* const* zeros, size_t count, uint8_t* panel);

// At most 16 rows [K] as floats [K][16], missing rows as zeros. `panel`: room for a panel as storedFormat says, of types that have blocks.
void widen(StoredType, const uint8_t* const* rows, size_t count, size_t inputs, uint8_t* panel, float* out);

// A number of f32, f16 or bf16.
float widened(StoredType, const uint8_t* from);

}  // namespace parscale
