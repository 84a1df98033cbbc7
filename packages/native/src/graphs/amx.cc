// Products on AMX's tiles of bfloat16, with 16 of float32's 24 bits: each number is the sum of two bfloat16, x = high + low, and
// x y = high high + high low + low high, summed in float32 (what PyTorch calls float32 matmul precision "high", bfloat16_3x). What is infinite, or
// within a thousandth of it, gives NaN. Everything else is as with AVX-512.
#define LANES 16
#define TILE_ROWS 32
#define KERNELS AmxGraph
#include "vector-kernels.h"

#include <immintrin.h>

namespace parscale {
namespace {
namespace AmxGraph {

// A block of 16 x 32 numbers as pairs of bfloat16: [16][16] words of 32 bits, the high parts, then the low ones.
constexpr size_t blockWords = 256;
// Inputs that are asked for ahead.
constexpr size_t ahead = 64;

struct Halves {
  __m512i high, low;
};

inline __m512 widened(__m512i words) { return _mm512_castsi512_ps(words); }

// Of two registers: 32 bfloat16, the first's below.
inline __m512i narrowed(__m512 first, __m512 second) {
  const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
  __m512i words;
  std::memcpy(&words, &both, sizeof words);
  return words;
}

// Neighbours x[0], x[1], .. as pairs.
inline Halves halvesOfRow(__m512 a, __m512 b) {
  const __m512i high = narrowed(a, b);
  const __m512 restA = a - widened(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(high)), 16));
  const __m512 restB = b - widened(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(high, 1)), 16));
  return {high, narrowed(restA, restB)};
}

// A pair of each lane's two numbers.
inline Halves halvesOfLanes(__m512 first, __m512 second) {
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_permutexvar_epi16(interleave, narrowed(first, second));
  const __m512 restFirst = first - widened(_mm512_slli_epi32(high, 16));
  const __m512 restSecond = second - widened(_mm512_and_si512(high, _mm512_set1_epi32(int(0xffff0000))));
  return {high, _mm512_permutexvar_epi16(interleave, narrowed(restFirst, restSecond))};
}

void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Quarters: r[4 q + c] has column c + 4 j of rows 4 q .. 4 q + 3 in its quarter j.
  for (int c = 0; c < 4; c++) {
    const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const __m512i d = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
  }
  for (int i = 0; i < 16; i++) r[i] = t[i];
}

inline __mmask16 firstLanes(size_t n) { return n >= 16 ? __mmask16(0xffff) : __mmask16((1u << n) - 1); }

// x [16][32] at i * iStride + k * kStride, zeros behind `have` and `depth`. `byRows`: words [i][pair of k]; else [pair of k][i].
void packBlock(const float* x, size_t iStride, size_t kStride, size_t have, size_t depth, bool byRows, uint32_t* out) {
  __m512i high[16], low[16];
  float gathered[16 * 32];
  if (iStride != 1 && kStride != 1) {
    std::memset(gathered, 0, sizeof gathered);
    for (size_t i = 0; i < have; i++)
      for (size_t k = 0; k < depth; k++) gathered[i * 32 + k] = x[i * iStride + k * kStride];
    x = gathered;
    iStride = 32;
    kStride = 1;
  }
  const bool rowsLie = kStride == 1 && !(iStride == 1 && !byRows);
  if (rowsLie) {
    for (size_t i = 0; i < 16; i++) {
      if (i >= have) {
        high[i] = low[i] = _mm512_setzero_si512();
        continue;
      }
      const float* row = x + i * iStride;
      _mm_prefetch(reinterpret_cast<const char*>(row + 2 * ahead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(row + 2 * ahead + 16), _MM_HINT_T0);
      const __m512 a = _mm512_maskz_loadu_ps(firstLanes(depth), row);
      const __m512 b = depth > 16 ? _mm512_maskz_loadu_ps(firstLanes(depth - 16), row + 16) : _mm512_setzero_ps();
      const Halves both = halvesOfRow(a, b);
      high[i] = both.high;
      low[i] = both.low;
    }
  } else {
    const __mmask16 lanes = firstLanes(have);
    for (size_t pair = 0; pair < 16; pair++) {
      const size_t k = 2 * pair;
      // Each line is far from the last: nobody else asks for it in time.
      _mm_prefetch(reinterpret_cast<const char*>(x + (k + ahead) * kStride), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(x + (k + 1 + ahead) * kStride), _MM_HINT_T0);
      const Halves both = halvesOfLanes(k < depth ? _mm512_maskz_loadu_ps(lanes, x + k * kStride) : _mm512_setzero_ps(),
                                        k + 1 < depth ? _mm512_maskz_loadu_ps(lanes, x + (k + 1) * kStride) : _mm512_setzero_ps());
      high[pair] = both.high;
      low[pair] = both.low;
    }
  }
  if (rowsLie != byRows) {
    transpose(high);
    transpose(low);
  }
  for (size_t i = 0; i < 16; i++) {
    _mm512_store_si512(out + i * 16, high[i]);
    _mm512_store_si512(out + blockWords + i * 16, low[i]);
  }
}

// Rows that lie as they are read, one after the other.
void packLyingRows(const float* x, size_t iStride, size_t have, size_t K, uint32_t* words) {
  for (size_t i = 0; i < 32; i++) {
    uint32_t* out = words + i / 16 * 2 * blockWords + i % 16 * 16;
    const float* row = x + i * iStride;
    for (size_t k = 0; k < K; k += 32, out += 4 * blockWords) {
      Halves both{_mm512_setzero_si512(), _mm512_setzero_si512()};
      if (i < have) {
        const size_t depth = K - k;
        both = depth >= 32 ? halvesOfRow(_mm512_loadu_ps(row + k), _mm512_loadu_ps(row + k + 16))
                           : halvesOfRow(_mm512_maskz_loadu_ps(firstLanes(depth), row + k),
                                         depth > 16 ? _mm512_maskz_loadu_ps(firstLanes(depth - 16), row + k + 16) : _mm512_setzero_ps());
      }
      _mm512_store_si512(out, both.high);
      _mm512_store_si512(out + blockWords, both.low);
    }
  }
}

// A panel of 32 rows (or columns), for each 32 inputs: block, high and low, of the first 16, then of the others.
void packPanel(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, bool byRows, float* out) {
  auto* words = reinterpret_cast<uint32_t*>(out);
  if (byRows && kStride == 1) return packLyingRows(x, iStride, have, K, words);
  for (size_t k = 0; k < K; k += 32)
    for (size_t i = 0; i < 32; i += 16, words += 2 * blockWords)
      packBlock(x + i * iStride + k * kStride, iStride, kStride, have <= i ? 0 : have - i < 16 ? have - i : 16, K - k < 32 ? K - k : 32, byRows, words);
}

void packRows(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, float* out) {
  packPanel(x, iStride, kStride, have, K, true, out);
}

void packColumns(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, float* out) {
  packPanel(x, iStride, kStride, have, K, false, out);
}

// Eight tiles of 16 rows of 64 bytes. In memory for good: the compiler takes only the first bytes for what is read.
struct alignas(64) TileShapes {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileShapes tileShapes;

void begin() { _tile_loadconfig(&tileShapes); }

void end() { _tile_release(); }

void tileProduct(const float* a, const float* b, size_t K, bool onto, float* c, size_t stride) {
  float* below = c + 16 * stride;
  if (onto) {
    _tile_loadd(0, c, stride * 4);
    _tile_loadd(1, c + 16, stride * 4);
    _tile_loadd(2, below, stride * 4);
    _tile_loadd(3, below + 16, stride * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  auto* x = reinterpret_cast<const uint32_t*>(a);
  auto* y = reinterpret_cast<const uint32_t*>(b);
  for (size_t k = 0; k < K; k += 32, x += 4 * blockWords, y += 4 * blockWords) {
    _tile_loadd(4, x, 64);
    _tile_loadd(5, x + 2 * blockWords, 64);
    _tile_loadd(6, y, 64);
    _tile_loadd(7, y + 2 * blockWords, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(6, y + blockWords, 64);
    _tile_loadd(7, y + 3 * blockWords, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(4, x + blockWords, 64);
    _tile_loadd(5, x + 3 * blockWords, 64);
    _tile_loadd(6, y, 64);
    _tile_loadd(7, y + 2 * blockWords, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, stride * 4);
  _tile_stored(1, c + 16, stride * 4);
  _tile_stored(2, below, stride * 4);
  _tile_stored(3, below + 16, stride * 4);
}

constexpr GraphKernels withTiles() {
  GraphKernels kernels = table("amx");
  kernels.depthStep = 32;
  kernels.begin = begin;
  kernels.end = end;
  kernels.packRows = packRows;
  kernels.packColumns = packColumns;
  kernels.product = tileProduct;
  return kernels;
}

}  // namespace AmxGraph
}  // namespace

// Nothing of this file runs before it is known that the CPU can.
extern constexpr GraphKernels amxGraphKernels = AmxGraph::withTiles();

}  // namespace parscale
