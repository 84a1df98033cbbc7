// What the step prefetches of an instruction set: a table of functions, one such table per file of this folder.
//
// All of them give the same bits. Integer sums are exact; floating point goes through 16 lanes whatever the register width,
// with explicit fused multiply-adds, and lanes are summed as a tree of fixed shape. What a row gets never depends on its neighbours.
//
// Axes: M rows, N outputs, K inputs of a product; D head size, G query heads that share a key/value head.
#pragma once
#include <cstddef>
#include <cstdint>

namespace parscale {

constexpr size_t lanes = 16;
constexpr size_t largestHead = 1024;

// How the weights of a matrix are stored. The numbers stand in files (packed-file.h).
enum class Format : uint32_t { f32 = 0, bf16 = 1, int8 = 2, int4 = 3 };

// A matrix [N, K] as panels of 16 outputs. N is rounded up to whole panels; outputs behind the last one weigh 0.
//   f32, bf16: a panel is [K][16].
//   int8, int4: a panel is a run of K / blockSize records, each
//     scales f32 [16], minima f32 [16] where `hasMinima`, then the integers q, unsigned:
//       int8  [blockSize / 4][16][4]
//       int4  [blockSize / 8][16][4], the low nibble for the first four inputs of eight, the high one for the others.
//     weight = (q - 2^(bits - 1)) * scale, or q * scale + minimum.
struct Matrix {
  const uint8_t* data = nullptr;
  Format format = Format::f32;
  uint32_t outputs = 0;
  uint32_t inputs = 0;
  uint32_t blockSize = 0;
  bool hasMinima = false;

  bool quantised() const { return format == Format::int8 || format == Format::int4; }
  size_t panels() const { return (outputs + lanes - 1) / lanes; }
  size_t recordBytes() const { return (hasMinima ? 128 : 64) + blockSize * lanes / (format == Format::int8 ? 1 : 2); }
  size_t panelBytes() const {
    if (!quantised()) return size_t(inputs) * lanes * (format == Format::f32 ? 4 : 2);
    return size_t(inputs / blockSize) * recordBytes();
  }
};

// Inputs of a product, M rows side by side so that a tile of weights meets them in the order of memory.
// float products: values [K][M]. Integer products: values int8 [K / width][room][width], scales and sums [K / blockSize][room], where a
// sum is that of a row's integers in a block.
struct Tile {
  size_t rows = 0;
  // Rows that there is room for, and neighbouring inputs of a row: `rows` and 16 but for products of many rows.
  size_t room = 0, width = 16;
  float* floats = nullptr;
  int8_t* integers = nullptr;
  float* scales = nullptr;
  int32_t* sums = nullptr;
};

// Weights to prefetch for the next product. Kernels that do not stream weights prefetch one cache line per iteration.
struct Prefetch {
  const uint8_t *at = nullptr, *end = nullptr;
};

// Keys and values in the cache: 8 bits with a scale for each position and head, or floats.
enum class CacheType : uint32_t { f32 = 0, f16 = 1, int8 = 2 };

constexpr size_t pagePositions = 64;

// One key/value head of one layer of a row, spread over pages of 64 positions. Offsets in bytes within each page:
//   floats: keys [64 / 16][D][16], values [64][D rounded up to 16]
//   int8, by 128 too large: keys [64 / 16][D / 4][16][4], values [64 / 4][D rounded up to 16][4], scales f32 [64] of each
struct CachedHead {
  uint8_t* const* pages = nullptr;
  CacheType type = CacheType::f32;
  size_t headDim = 0;
  size_t keys = 0, values = 0, keyScales = 0, valueScales = 0;

  // Numbers of a position: in 8 bits four neighbours go together.
  size_t keyStride() const { return type == CacheType::int8 ? (headDim + 3) / 4 * 4 : headDim; }
  size_t valueStride() const { return (headDim + lanes - 1) / lanes * lanes; }
};

// The positions that a token sees: the prefix, whose scores have something added, and its own sequence from `first` to `end`.
struct VisibleRange {
  size_t prefix = 0, first = 0, end = 0;
  float prefixScore = 0;
};

// The A of low-rank products, [R, K], which one row at a time meets: [R / 4][K / 16][4][16], the last four may be fewer, and behind the last
// input stand zeros.
struct RankMatrix {
  const uint8_t* data = nullptr;
  // f32 or bf16.
  Format format = Format::f32;
  size_t outputs = 0, inputs = 0;

  static constexpr size_t together = 4;
  size_t elementBytes() const { return format == Format::f32 ? 4 : 2; }
  size_t rowBytes() const { return (inputs + lanes - 1) / lanes * lanes * elementBytes(); }
  size_t bytes() const { return outputs * rowBytes(); }
};

// What adapters of rows make of the results of one panel. Adapter a's numbers lie `step` bytes a behind the first one's; null: there are none.
struct PanelAdapters {
  struct Numbers {
    const uint8_t* at = nullptr;
    size_t step = 0;
    const uint8_t* of(size_t adapter) const { return at + adapter * step; }
  };
  // Of each row; 0: none.
  const uint32_t* numbers = nullptr;
  Numbers scale, bias;  // f32 [16]
  Numbers up;           // B, [rank][16]
  Format format = Format::f32;
  size_t rank = 0;
  // What A gave, [rank] of each row.
  const float* low = nullptr;
  size_t lowStride = 0;
};

// Where results of panels will be put: the first row's, and floats from row to row.
struct Destination {
  float* at = nullptr;
  size_t stride = 0;
  // Whether the product may put them there by itself: as they are with `bias`, or added to what is there. All its panels have 16 outputs then.
  bool put = false;
  bool add = false;
  const float* bias = nullptr;
};

// Products of many rows, where an instruction set has something of its own for them. They give the bits of `Kernels::product`.
struct ManyRows {
  // From so many rows on they are faster.
  size_t rows;
  // The most rows that a tile may have; its room is a multiple of `roomStep`, and rows behind the last one need only zeros for scales and sums.
  size_t tileRows, roomStep, width, panelsAtOnce;
  // Inputs, in bytes, that are multiplied with one panel after the other: kernels that read them piece by piece may take them from the last cache.
  size_t inputBytesAtOnce;
  bool (*takes)(size_t blockSize);
  // `panelsAtOnce` panels (fewer where the matrix ends) times several tiles, of which all but the last are full: out [panelsAtOnce][room of all][16].
  // `prefetches`: the weights come from memory. Prefetches the destination of the first two panels as well, line by line. Whether results are there
  // already; `out` is no more than room then.
  bool (*product)(const Matrix&, size_t panel, const Tile* tiles, size_t count, bool prefetches, const Destination&, float* out);
};

struct Kernels {
  const char* name;
  // The most rows that a tile may have.
  size_t tileRows;

  // One panel times one tile: out [M][16]. Prefetches the weights `distance` bytes behind those that it reads; 0 prefetches nothing new.
  void (*product)(const Matrix&, size_t panel, const Tile&, size_t distance, float* out);
  // out [R] = A x
  void (*rankProduct)(const RankMatrix&, const float* x, float* out);
  // y [rows][16] = scale * y + B low + bias, each row by its adapter. Prefetches the next panel's.
  void (*adaptPanel)(const PanelAdapters&, size_t rows, float* y);
  // Puts a row of inputs into a tile; `blockSize` 0: as floats.
  void (*fillTile)(const float* x, size_t inputs, size_t blockSize, const Tile&, size_t row, Prefetch&);

  // y = x / sqrt(mean(x^2) + eps) * weight; y may be x.
  void (*rmsNorm)(const float* x, const float* weight, size_t n, float eps, float* y);
  // Rotates the first half of a head against its second half.
  void (*rotate)(float* head, const float* cosines, const float* sines, size_t half);
  // gate = silu(gate) * up
  void (*siluTimes)(float* gate, const float* up, size_t n, Prefetch&);
  void (*silu)(float* x, size_t n);
  void (*softmax)(float* x, size_t n);
  // out[0] the largest of x, out[1] the sum of e^(x - largest). NaN both where an x is NaN or infinite.
  void (*sumPowers)(const float* x, size_t n, double out[2]);

  // Stores a token's key and value at a position. False, and nothing stored but zeros, where they are not finite.
  bool (*appendKv)(const CachedHead&, size_t position, const float* key, const float* value);
  // Attention of G queries [G][D], already scaled, to what they see: out [G][D]. `scores` is room for
  // G * (positions rounded up to 16) floats.
  void (*attend)(const CachedHead&, const VisibleRange&, const float* queries, size_t groups, float* scores, float* out, Prefetch&);

  // A panel of integers without minima, from floats [K][16] of which `count` rows are there: the others become zeros, with integers of 0. False
  // where a float is not finite.
  bool (*roundPanel)(const Matrix&, const float* values, size_t count, uint8_t* panel);

  // Null: there is nothing of this kind.
  const ManyRows* manyRows;
};

}  // namespace parscale
