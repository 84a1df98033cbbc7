// AVX-512 with VNNI (Intel since Ice Lake, AMD since Zen 4): 16 floats a register, and one instruction multiplies 64 weights.
#include <immintrin.h>

#include "templates.h"

namespace parscale {
namespace {

struct Avx512Vnni {
  // 16 sums, 64 weights and a scale fill half of the 32 registers; totals of a block wait in the first cache level.
  static constexpr int tileRows = 16;
  // Rows whose totals fit in as well.
  static constexpr int totalRows = 8;
  static constexpr int accumulators = 24;
  static constexpr int32_t shift8 = 0;
  static constexpr size_t narrowInputs = 0;

  using Floats = __m512;
  using Sums = __m512i;
  // Four neighbouring inputs, which may be read as what they are not.
  typedef int32_t __attribute__((may_alias)) Four;

  static Floats set(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats loadBf16(const uint16_t* from) {
    const auto bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Floats loadHalf(const uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void store(float* to, Floats x) { _mm512_storeu_ps(to, x); }
  static void storeHalf(uint16_t* to, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }

  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats abs(Floats a) { return _mm512_abs_ps(a); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static Floats powerOfTwo(Floats n) {
    const auto exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
  }
  // Of rounding.h.
  using Doubles = __m512d;
  typedef int32_t Integers __attribute__((vector_size(32)));
  static Doubles widened(const float* from) { return _mm512_cvtps_pd(_mm256_loadu_ps(from)); }
  static Doubles cut(Doubles x) { return _mm512_roundscale_pd(x, _MM_FROUND_TO_ZERO); }
  static Integers integers(Doubles x) { return Integers(_mm512_cvttpd_epi32(x)); }

  static float squareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static float sum(Floats x) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), upper(x));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Floats x) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), upper(x));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static __m256 upper(Floats x) { return _mm512_extractf32x8_ps(x, 1); }
  static Sums roundToBytes(Floats x, int8_t* to) {
    const auto rounded = _mm512_cvtps_epi32(x);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(rounded));
    return rounded;
  }

  static Sums start(int32_t x) { return _mm512_set1_epi32(x); }
  static Sums times(Sums a, int32_t factor) { return _mm512_mullo_epi32(a, _mm512_set1_epi32(factor)); }
  static Sums addIntegers(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
  static int32_t sumOfIntegers(Sums x) { return _mm512_reduce_add_epi32(x); }
  static Floats toFloats(Sums x) { return _mm512_cvtepi32_ps(x); }
  static __m512i weights8(const uint8_t* at) { return _mm512_load_si512(at); }
  static __m512i lowNibbles(const uint8_t* at) { return _mm512_and_si512(_mm512_load_si512(at), _mm512_set1_epi8(15)); }
  static __m512i highNibbles(const uint8_t* at) {
    return _mm512_and_si512(_mm512_srli_epi16(_mm512_load_si512(at), 4), _mm512_set1_epi8(15));
  }
  // As written: compilers keep copies of the sums, and load what the instruction can repeat by itself.
  static Sums dot8(Sums acc, __m512i weights, const int8_t* in) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(weights), "m"(*reinterpret_cast<const Four*>(in)));
    return acc;
  }
  static Sums dot4(Sums acc, __m512i weights, const int8_t* in) { return dot8(acc, weights, in); }
  static constexpr int32_t cachedShift = shift8;
  static __m512i cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(Sums acc, __m512i bytes, const int8_t* in) { return dot8(acc, bytes, in); }
  [[gnu::always_inline]] static void prefetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }
};

// ---- products of many rows ----
//
// Two panels meet seven rows, so that each input is loaded once for both (with one panel, loads are as many as products), and sums, totals,
// weights and an input fit into the 32 registers. Weights are cut into pieces that stay in the first cache level while all rows meet them, and
// 4 bits are unpacked once for all rows. Four tiles that are nearly full are the fewest for which that gains.
namespace Avx512VnniManyRows {

constexpr size_t tileRows = 7, panelsAtOnce = 2, inputsAtOnce = 512;

[[gnu::always_inline]] inline __m512i dot(__m512i sum, __m512i weights, __m512i inputs) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(inputs));
  return sum;
}

[[gnu::always_inline]] inline void prefetch(const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1); }

// 4 bits as bytes.
void unpack(const uint8_t* from, size_t inputs, uint8_t* to) {
  for (size_t i = 0; i < inputs * lanes / 2; i += 64) {
    _mm512_store_si512(to + 2 * i, Avx512Vnni::lowNibbles(from + i));
    _mm512_store_si512(to + 2 * i + 64, Avx512Vnni::highNibbles(from + i));
  }
}

// A block of two panels: where its scales are, and its weights as bytes.
struct Block {
  const float* scales[panelsAtOnce];
  const uint8_t* weights[panelsAtOnce];
};

// total += a block's products with a tile's rows, [2][7][16], by the operations of integerProduct (templates.h).
template <int bits, bool minima>
[[gnu::always_inline]] inline void multiplyBlock(const Block& block, size_t inputs, const int8_t* in, const float* rowScales, const int32_t* rowSums, __m512 (&lowTotal)[tileRows],
                                                 __m512 (&highTotal)[tileRows]) {
  constexpr int zero = minima ? 0 : bits == 8 ? 128 : 8, rows = int(tileRows);
  __m512i low[rows], high[rows];
  for (int m = 0; m < rows; m++) {
    low[m] = zero == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(-zero * rowSums[m]);
    high[m] = low[m];
  }
  const uint8_t *one = block.weights[0], *two = block.weights[1];
  for (size_t k = 0; k < inputs; k += 16, in += 16 * rows) {
    for (int from = 0; from < 16; from += 4, one += 64, two += 64) {
      const __m512i a = _mm512_load_si512(one), b = _mm512_load_si512(two);
      for (int m = 0; m < rows; m++) {
        const __m512i x = _mm512_set1_epi32(*reinterpret_cast<const Avx512Vnni::Four*>(in + 16 * m + from));
        low[m] = dot(low[m], a, x);
        high[m] = dot(high[m], b, x);
      }
    }
  }
  const auto add = [&](const float* scales, const __m512i (&sums)[tileRows], __m512 (&total)[tileRows]) {
    const __m512 scale = _mm512_load_ps(scales), minimum = minima ? _mm512_load_ps(scales + lanes) : scale;
    for (int m = 0; m < rows; m++) total[m] = addBlock<Avx512Vnni, minima>(scale, minimum, rowScales[m], rowSums[m], sums[m], total[m]);
  };
  add(block.scales[0], low, lowTotal);
  add(block.scales[1], high, highTotal);
}

struct alignas(64) Scratch {
  uint8_t weights[panelsAtOnce][inputsAtOnce * lanes];
};

// Results of a tile's first rows, from its row `row` and output `lane` on.
[[gnu::always_inline]] inline void putRows(const __m512 (&totals)[tileRows], size_t rows, const Destination& to, size_t row, size_t lane) {
  float* at = to.at + row * to.stride + lane;
  for (size_t m = 0; m < tileRows; m++) {
    if (m >= rows) return;
    __m512 y = totals[m];
    if (to.bias) y = _mm512_add_ps(y, _mm512_loadu_ps(to.bias + lane));
    if (to.add) y = _mm512_add_ps(_mm512_loadu_ps(at + m * to.stride), y);
    _mm512_storeu_ps(at + m * to.stride, y);
  }
}

template <int bits, bool minima>
void panelsTimesTiles(const Matrix& w, const uint8_t* panel, size_t step, const Tile* tiles, size_t count, bool prefetches, const Destination& to, float* out, size_t outStep) {
  Scratch scratch;
  constexpr size_t header = minima ? 128 : 64;
  const size_t record = w.recordBytes(), blocks = w.inputs / w.blockSize, atOnce = inputsAtOnce / w.blockSize;
  for (size_t from = 0; from < blocks; from += atOnce) {
    const size_t now = blocks - from < atOnce ? blocks - from : atOnce;
    // To those of the next round, which may be the next two panels'.
    const size_t distance = !prefetches ? 0 : now * record + (from + now < blocks ? 0 : step);
    for (size_t p = 0; p < panelsAtOnce; p++) {
      for (size_t b = 0; b < now; b++) {
        const uint8_t* at = panel + p * step + (from + b) * record;
        if constexpr (bits == 4) unpack(at + header, w.blockSize, scratch.weights[p] + b * w.blockSize * lanes);
      }
    }
    size_t row = 0;
    for (size_t t = 0; t < count; t++) {
      const Tile& x = tiles[t];
      float *low = out + row * lanes, *high = low + outStep;
      __m512 lowTotal[tileRows], highTotal[tileRows];
      for (size_t m = 0; m < tileRows; m++) {
        lowTotal[m] = from == 0 ? _mm512_setzero_ps() : _mm512_load_ps(low + m * lanes);
        highTotal[m] = from == 0 ? _mm512_setzero_ps() : _mm512_load_ps(high + m * lanes);
      }
      // Each row's results are far from the last one's: nobody else asks for them.
      if (from + now >= blocks)
        for (size_t m = 0; m < x.rows; m++) {
          prefetch(to.at + (row + m) * to.stride);
          prefetch(to.at + (row + m) * to.stride + lanes);
        }
      for (size_t b = 0; b < now; b++) {
        const uint8_t* at = panel + (from + b) * record;
        // A tile asks for its share of what comes next, so that memory has as much to do all the time.
        for (size_t line = record * t / count / 64 * 64, end = record * (t + 1) / count / 64 * 64; distance > 0 && line < end; line += 64)
          for (size_t p = 0; p < panelsAtOnce; p++) prefetch(at + p * step + line + distance);
        Block block;
        for (size_t p = 0; p < panelsAtOnce; p++) {
          block.scales[p] = reinterpret_cast<const float*>(at + p * step);
          block.weights[p] = bits == 4 ? scratch.weights[p] + b * w.blockSize * lanes : at + p * step + header;
        }
        const size_t block0 = from + b;
        multiplyBlock<bits, minima>(block, w.blockSize, x.integers + block0 * w.blockSize * tileRows, x.scales + block0 * tileRows, x.sums + block0 * tileRows, lowTotal, highTotal);
      }
      if (to.put && from + now >= blocks) {
        putRows(lowTotal, x.rows, to, row, 0);
        if (step > 0) putRows(highTotal, x.rows, to, row, lanes);
      } else {
        for (size_t m = 0; m < tileRows; m++) {
          _mm512_store_ps(low + m * lanes, lowTotal[m]);
          _mm512_store_ps(high + m * lanes, highTotal[m]);
        }
      }
      row += tileRows;
    }
  }
}

bool takes(size_t blockSize) { return blockSize % 16 == 0 && blockSize <= inputsAtOnce && inputsAtOnce % blockSize == 0; }

bool product(const Matrix& w, size_t panel, const Tile* tiles, size_t count, bool prefetches, const Destination& to, float* out) {
  const uint8_t* at = w.data + panel * w.panelBytes();
  // Behind the last panel: the same once more.
  const size_t step = panel + 1 < w.panels() ? w.panelBytes() : 0, outStep = count * tileRows * lanes;
  if (w.format == Format::int8 && w.hasMinima) panelsTimesTiles<8, true>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else if (w.format == Format::int8) panelsTimesTiles<8, false>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else if (w.hasMinima) panelsTimesTiles<4, true>(w, at, step, tiles, count, prefetches, to, out, outStep);
  else panelsTimesTiles<4, false>(w, at, step, tiles, count, prefetches, to, out, outStep);
  return to.put;
}

constexpr ManyRows table = {27, tileRows, tileRows, 16, panelsAtOnce, 4096 * 1024, takes, product};

}  // namespace Avx512VnniManyRows

constexpr Kernels withManyRows() {
  Kernels kernels = kernelsOf<Avx512Vnni>("avx512vnni");
  kernels.manyRows = &Avx512VnniManyRows::table;
  return kernels;
}

}  // namespace

extern constexpr Kernels avx512VnniKernels = withManyRows();

}  // namespace parscale
