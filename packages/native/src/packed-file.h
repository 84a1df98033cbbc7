// A model's weights in one file, laid out as the kernels read them, mapped and never copied. Little-endian.
//
//   0   "parscale"             8   version u32 = 1          12  header bytes u32
//   16  file bytes u64         24  CRC-32 of the header (this field 0)
//   28  vocabulary, 32 hidden, 36 intermediate, 40 layers, 44 query heads, 48 key/value heads, 52 head size,
//   56  streams that the aggregator takes, or 0: u32 each
//   60  RMS norm epsilon f32   64  smoothing of the aggregator f32   68  tensors u32
//   72  window of each layer in tokens u32 [layers], 0: none
//   then 40 bytes a tensor: role, layer, format, block size, outputs, inputs, has minima, 0: u32; offset u64
// and the tensors, each at a multiple of 64. A matrix is laid out as kernels.h says; a vector is f32, with `inputs` 1.
// A file holds a backbone (`layers` > 0), or an aggregator (`streams` > 0).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "mapped-file.h"

namespace parscale {

struct LayerWeights {
  Matrix q, k, v, o, gate, up, down;
  const float *inputNorm = nullptr, *postNorm = nullptr;
  // Null where the family has none.
  const float *qNorm = nullptr, *kNorm = nullptr;
  const float *qBias = nullptr, *kBias = nullptr, *vBias = nullptr, *oBias = nullptr;
  const float *gateBias = nullptr, *upBias = nullptr, *downBias = nullptr;
};

// All for weights of each token; `outerBias` alone: P scores for all tokens.
struct AggregatorWeights {
  Matrix inner, outer;  // [H, P*H], [P, H]
  const float *innerBias = nullptr, *outerBias = nullptr;
};

struct PackedModel {
  uint32_t vocabulary = 0, hidden = 0, intermediate = 0, heads = 0, kvHeads = 0, headDim = 0, streams = 0;
  float rmsNormEps = 0, smoothing = 0;
  // Window of each layer, 0: none.
  std::vector<uint32_t> windows;
  Matrix embedding;
  // The embedding's where they are tied.
  Matrix output;
  const float* finalNorm = nullptr;
  std::vector<LayerWeights> layers;
  AggregatorWeights aggregator;
  // Everything above points into it.
  std::shared_ptr<const PackedBytes> file;
};

// Maps a file and checks that everything in it lies inside it, with the shapes that belong together.
// Throws a Failure naming the first thing that is wrong.
PackedModel openPackedModel(const std::string& path);
// The same of bytes that are there already.
PackedModel openPackedModel(std::shared_ptr<const PackedBytes>);

// Row `id` of a matrix as floats: how token embeddings are looked up.
void readRow(const Matrix&, size_t id, float* out);

}  // namespace parscale
