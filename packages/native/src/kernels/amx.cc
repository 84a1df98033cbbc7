// Products of many rows on AMX's tiles (Intel servers since Sapphire Rapids): one instruction multiplies 16 rows by 64 inputs of 16 outputs.
// Integer sums are exact in any order, and what is done with those of a block is what templates.h does: the bits are the same.
#include <immintrin.h>

#include "kernels.h"

namespace parscale {
namespace {
namespace AmxTiles {

constexpr size_t tileInputs = 64, tileBytes = 1024, tileRows = 16;
// Weights of two panels that stay in the first cache level while all rows meet them.
constexpr size_t inputsAtOnce = 512;
constexpr size_t panelsAtOnce = 2;

// Eight tiles of 16 rows of 64 bytes. In memory for good: the compiler takes only the first bytes for what is read.
struct alignas(64) TileShapes {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileShapes tileShapes;

[[gnu::always_inline]] inline void prefetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }

// Weights as signed bytes without their zero point, or with minima as the unsigned bytes that they are.
template <bool minima>
void unpack8(const uint8_t* from, size_t inputs, size_t distance, uint8_t* to) {
  const __m512i zero = _mm512_set1_epi8(minima ? 0 : -128);
  for (size_t i = 0; i < inputs * lanes; i += 64) {
    prefetch(from + i + distance);
    _mm512_store_si512(to + i, _mm512_xor_si512(_mm512_load_si512(from + i), zero));
  }
}

// Bits of a byte as sums of those of another: the nibble, and without minima q - 8, which is its upper bit turned and repeated.
template <bool minima>
void unpack4(const uint8_t* from, size_t inputs, size_t distance, uint8_t* to) {
  // Row 7 - i of the matrix, a byte, gives bit i.
  const __m512i low = _mm512_set1_epi64(minima ? 0x0102040800000000 : 0x0102040808080808);
  const __m512i high = _mm512_set1_epi64(minima ? 0x1020408000000000 : int64_t(0x1020408080808080));
  constexpr int turned = minima ? 0 : 0xf8;
  for (size_t i = 0; i < inputs * lanes / 2; i += 64) {
    prefetch(from + i + distance);
    const __m512i x = _mm512_load_si512(from + i);
    _mm512_store_si512(to + 2 * i, _mm512_gf2p8affine_epi64_epi8(x, low, turned));
    _mm512_store_si512(to + 2 * i + 64, _mm512_gf2p8affine_epi64_epi8(x, high, turned));
  }
}

// Sums of a block that wait to be added to the totals: [panel][tile of rows][16][16].
struct Waiting {
  const int32_t* sums = nullptr;
  const float* scales[panelsAtOnce];
  const float* rowScales;
  const int32_t* rowSums;
  float* out[panelsAtOnce];
  bool first;
};

// Those of one tile, as addBlock (templates.h) does it.
template <bool minima, int rowTiles>
[[gnu::always_inline]] inline void addTile(const Waiting& w, int tile) {
  const int panel = tile / rowTiles;
  const size_t row = size_t(tile % rowTiles) * tileRows;
  const int32_t* sums = w.sums + size_t(tile) * tileRows * lanes;
  float* out = w.out[panel] + row * lanes;
  const __m512 scale = _mm512_load_ps(w.scales[panel]);
  __m512 minimum;
  if constexpr (minima) minimum = _mm512_load_ps(w.scales[panel] + lanes);
  for (size_t m = 0; m < tileRows; m++, sums += lanes, out += lanes) {
    const __m512 total = w.first ? _mm512_setzero_ps() : _mm512_load_ps(out);
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums)), rowScale = _mm512_set1_ps(w.rowScales[row + m]);
    if constexpr (minima) {
      const __m512 least = _mm512_mul_ps(minimum, _mm512_set1_ps(float(w.rowSums[row + m])));
      _mm512_store_ps(out, _mm512_fmadd_ps(_mm512_fmadd_ps(sum, scale, least), rowScale, total));
    } else {
      _mm512_store_ps(out, _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, rowScale), total));
    }
  }
}

// One block of two panels times one or two tiles of rows. Vector units add what waits between the tiles' products: the two overlap
// only within the few hundred instructions that the core looks ahead.
template <bool minima, int rowTiles>
[[gnu::always_inline]] inline void multiplyBlock(const int8_t* x, size_t halves, const uint8_t* first, const uint8_t* second, const Waiting& waiting,
                                                 int32_t* sums) {
  constexpr int tiles = rowTiles * int(panelsAtOnce);
  const bool waits = waiting.sums != nullptr;
  int added = 0;
  _tile_zero(0);
  _tile_zero(2);
  if constexpr (rowTiles == 2) {
    _tile_zero(1);
    _tile_zero(3);
  }
  for (size_t half = 0; half < halves; half++, x += rowTiles * tileBytes, first += tileBytes, second += tileBytes) {
    _tile_loadd(6, first, 64);
    _tile_loadd(4, x, 64);
    if constexpr (minima) _tile_dpbsud(0, 4, 6);
    else _tile_dpbssd(0, 4, 6);
    if constexpr (rowTiles == 2) {
      _tile_loadd(5, x + tileBytes, 64);
      if constexpr (minima) _tile_dpbsud(1, 5, 6);
      else _tile_dpbssd(1, 5, 6);
    }
    if (waits && added < tiles) addTile<minima, rowTiles>(waiting, added++);
    _tile_loadd(7, second, 64);
    if constexpr (minima) _tile_dpbsud(2, 4, 7);
    else _tile_dpbssd(2, 4, 7);
    if constexpr (rowTiles == 2) {
      if constexpr (minima) _tile_dpbsud(3, 5, 7);
      else _tile_dpbssd(3, 5, 7);
    }
    if (waits && added < tiles) addTile<minima, rowTiles>(waiting, added++);
  }
  while (waits && added < tiles) addTile<minima, rowTiles>(waiting, added++);
  constexpr size_t tileSums = tileRows * lanes;
  _tile_stored(0, sums, 64);
  if constexpr (rowTiles == 2) {
    _tile_stored(1, sums + tileSums, 64);
    _tile_stored(2, sums + 2 * tileSums, 64);
    _tile_stored(3, sums + 3 * tileSums, 64);
  } else {
    _tile_stored(2, sums + tileSums, 64);
  }
}

template <bool minima, int rowTiles>
void addAll(const Waiting& waiting) {
  for (int tile = 0; waiting.sums && tile < rowTiles * int(panelsAtOnce); tile++) addTile<minima, rowTiles>(waiting, tile);
}

struct alignas(64) Scratch {
  uint8_t weights[panelsAtOnce][inputsAtOnce * lanes];
  int32_t sums[2][panelsAtOnce * 2 * tileRows * lanes];
};

template <int bits, bool minima>
void panelsTimesTiles(const Matrix& w, const uint8_t* panel, size_t step, const Tile* tiles, size_t count, bool prefetches, const Destination& to, float* out, size_t outStep) {
  Scratch scratch;
  const size_t record = w.recordBytes(), header = minima ? 128 : 64, halves = w.blockSize / tileInputs;
  const size_t blocks = w.inputs / w.blockSize, atOnce = inputsAtOnce / w.blockSize, blockBytes = w.blockSize * lanes;
  // One or two tiles of rows: what waits is of the same kind but before the last tile. More than one block is not worth waiting for.
  Waiting waiting;
  bool waitsForTwo = true;
  const auto settle = [&] {
    if (waitsForTwo) addAll<minima, 2>(waiting);
    else addAll<minima, 1>(waiting);
    waiting.sums = nullptr;
  };
  size_t turn = 0;
  for (size_t from = 0; from < blocks; from += atOnce) {
    const size_t now = blocks - from < atOnce ? blocks - from : atOnce;
    for (size_t p = 0; p < panelsAtOnce; p++) {
      for (size_t b = 0; b < now; b++) {
        const uint8_t* at = panel + p * step + (from + b) * record;
        // Those of the next round, which may be the next two panels'.
        const size_t distance = !prefetches ? 0 : atOnce * record + (from + b + atOnce < blocks ? 0 : step);
        for (size_t line = 0; line < header; line += 64) prefetch(at + line + distance);
        if constexpr (bits == 8) unpack8<minima>(at + header, w.blockSize, distance, scratch.weights[p] + b * blockBytes);
        else unpack4<minima>(at + header, w.blockSize, distance, scratch.weights[p] + b * blockBytes);
      }
    }
    // GCC does not know that loading a tile reads memory.
    asm volatile("" ::: "memory");
    size_t row = 0;
    for (size_t t = 0; t < count; t++) {
      const Tile& x = tiles[t];
      const bool two = x.room > tileRows;
      if (two != waitsForTwo) settle();
      waitsForTwo = two;
      for (size_t b = 0; b < now; b++, turn ^= 1) {
        const size_t block = from + b;
        const int8_t* in = x.integers + block * w.blockSize * x.room;
        // Each row's results are far from the last one's: nobody else asks for them.
        const size_t last = from + atOnce >= blocks ? (b + 1) * x.room / now : 0;
        for (size_t m = b * x.room / now; m < last; m++) {
          const auto* line = reinterpret_cast<const uint8_t*>(to.at + (row + m) * to.stride);
          prefetch(line);
          prefetch(line + 64);
        }
        const uint8_t *first = scratch.weights[0] + b * blockBytes, *second = scratch.weights[1] + b * blockBytes;
        if (two) multiplyBlock<minima, 2>(in, halves, first, second, waiting, scratch.sums[turn]);
        else multiplyBlock<minima, 1>(in, halves, first, second, waiting, scratch.sums[turn]);
        const uint8_t* at = panel + block * record;
        waiting = {scratch.sums[turn],
                   {reinterpret_cast<const float*>(at), reinterpret_cast<const float*>(at + step)},
                   x.scales + block * x.room,
                   x.sums + block * x.room,
                   {out + row * lanes, out + outStep + row * lanes},
                   block == 0};
      }
      row += x.room;
    }
  }
  settle();
}

bool takes(size_t blockSize) { return blockSize >= tileInputs && blockSize <= inputsAtOnce && inputsAtOnce % blockSize == 0; }

bool product(const Matrix& w, size_t panel, const Tile* tiles, size_t count, bool prefetches, const Destination& to, float* out) {
  _tile_loadconfig(&tileShapes);
  size_t room = 0;
  for (size_t t = 0; t < count; t++) room += tiles[t].room;
  const uint8_t* at = w.data + panel * w.panelBytes();
  // Behind the last panel: the same once more.
  const bool two = panel + 1 < w.panels();
  const size_t step = two ? w.panelBytes() : 0, outStep = room * lanes;
  if (w.format == Format::int8 && w.hasMinima) panelsTimesTiles<8, true>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else if (w.format == Format::int8) panelsTimesTiles<8, false>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else if (w.hasMinima) panelsTimesTiles<4, true>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else panelsTimesTiles<4, false>(w, at, step, tiles, count, prefetches, to, out, outStep);
  _tile_release();
  return false;
}

}  // namespace AmxTiles
}  // namespace

// Nothing of this file runs before it is known that the CPU can.
extern constexpr ManyRows amxManyRows = {16, 2 * AmxTiles::tileRows, AmxTiles::tileRows, AmxTiles::tileInputs, AmxTiles::panelsAtOnce, 1024 * 1024, AmxTiles::takes, AmxTiles::product};

}  // namespace parscale
