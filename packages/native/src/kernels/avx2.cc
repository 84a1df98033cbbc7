// AVX2 without VNNI. Its product of bytes adds neighbours in 16 bits and cuts off what does not fit, so that operands are kept
// small enough: 2 * 128 * 127 and 2 * 15 * 127 both fit.
#include "avx2-lanes.h"

namespace parscale {
namespace {

struct Avx2 : Avx2Lanes {
  // Weights of 8 bits are made signed; their magnitudes are multiplied, their signs go to the inputs.
  static constexpr int32_t shift8 = 128;

  struct Signed { __m256i low, high, lowMagnitude, highMagnitude; };
  struct Nibbles { __m256i low, high; };

  static Signed weights8(const uint8_t* at) {
    const __m256i low = shifted(bytes(at)), high = shifted(bytes(at + 32));
    return {low, high, _mm256_abs_epi8(low), _mm256_abs_epi8(high)};
  }
  static Nibbles lowNibbles(const uint8_t* at) { return {low4(bytes(at)), low4(bytes(at + 32))}; }
  static Nibbles highNibbles(const uint8_t* at) { return {high4(bytes(at)), high4(bytes(at + 32))}; }
  static Sums dot8(Sums acc, const Signed& w, const int8_t* in) {
    const __m256i x = fourTimes(in);
    return {added(acc.low, w.lowMagnitude, _mm256_sign_epi8(x, w.low)),
            added(acc.high, w.highMagnitude, _mm256_sign_epi8(x, w.high))};
  }
  // Sums of 32 inputs fit in 16 bits, 8 * 2 * 15 * 127, which saves widening and adding each product.
  static constexpr size_t narrowInputs = 32;
  static Sums dot4(Sums acc, const Nibbles& w, const int8_t* in) {
    const __m256i x = fourTimes(in);
    return {narrowlyAdded(acc.low, w.low, x), narrowlyAdded(acc.high, w.high, x)};
  }
  static Sums addNarrow(Sums acc, Sums some) { return {widelyAdded(acc.low, some.low), widelyAdded(acc.high, some.high)}; }

  // Inputs of at most 64 need no signs taken apart: 2 * 255 * 64 fits.
  static constexpr int32_t cachedShift = 0;
  static Nibbles cached8(const uint8_t* at) { return {bytes(at), bytes(at + 32)}; }
  static Sums dotCached(Sums acc, const Nibbles& bytes, const int8_t* in) {
    const __m256i x = fourTimes(in);
    return {added(acc.low, bytes.low, x), added(acc.high, bytes.high, x)};
  }

  static __m256i shifted(__m256i x) { return _mm256_xor_si256(x, _mm256_set1_epi8(char(128))); }
  static __m256i added(__m256i acc, __m256i unsignedBytes, __m256i signedBytes) {
    return widelyAdded(acc, _mm256_maddubs_epi16(unsignedBytes, signedBytes));
  }
  // As written: compilers add products to each other first, and have too few registers for that.
  static __m256i widelyAdded(__m256i acc, __m256i pairs) {
    asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
    return acc;
  }
  static __m256i narrowlyAdded(__m256i acc, __m256i unsignedBytes, __m256i signedBytes) {
    asm("vpaddw %1, %0, %0" : "+x"(acc) : "x"(_mm256_maddubs_epi16(unsignedBytes, signedBytes)));
    return acc;
  }
};

// ---- products of many rows ----
//
// Weights of 8 bits are unpacked once for all rows, in pieces that stay in the first cache level meanwhile: magnitudes beside masks of the negative
// ones. x ^ mask is x or -x - 1, which takes less time than to give x a sign; what makes up for the ones, the sum of the magnitudes of negative
// weights, stands in front. Four tiles are the fewest for which that gains; 4 bits have nothing to gain.
namespace Avx2ManyRows {

constexpr size_t tileRows = Avx2::tileRows, inputsAtOnce = 512;

constexpr size_t unpackedBytes(size_t inputs) { return 64 + 2 * inputs * lanes; }

void put(uint8_t* to, __m256i low, __m256i high) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(to + 32), high);
}

void unpack(const uint8_t* from, size_t inputs, uint8_t* to) {
  const __m256i none = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1);
  Avx2::Sums negative = Avx2::start(0);
  uint8_t* at = to + 64;
  for (size_t i = 0; i < inputs * lanes; i += 64, at += 128) {
    const Avx2::Signed w = Avx2::weights8(from + i);
    const __m256i low = _mm256_cmpgt_epi8(none, w.low), high = _mm256_cmpgt_epi8(none, w.high);
    put(at, w.lowMagnitude, w.highMagnitude);
    put(at + 64, low, high);
    negative.low = Avx2::added(negative.low, _mm256_and_si256(w.lowMagnitude, low), ones);
    negative.high = Avx2::added(negative.high, _mm256_and_si256(w.highMagnitude, high), ones);
  }
  put(to, negative.low, negative.high);
}

// sums += an unpacked block's products with a tile's rows.
[[gnu::always_inline]] inline void addUnpacked(const uint8_t* weights, size_t inputs, const int8_t* in, Avx2::Sums (&sums)[tileRows]) {
  constexpr int rows = int(tileRows);
  for (int m = 0; m < rows; m++) sums[m] = Avx2::addIntegers(sums[m], {Avx2::bytes(weights), Avx2::bytes(weights + 32)});
  weights += 64;
  for (size_t k = 0; k < inputs; k += 16, in += 16 * rows)
    for (int from = 0; from < 16; from += 4, weights += 128) {
      const __m256i low = Avx2::bytes(weights), high = Avx2::bytes(weights + 32), lowMask = Avx2::bytes(weights + 64), highMask = Avx2::bytes(weights + 96);
      for (int m = 0; m < rows; m++) {
        const __m256i x = Avx2::fourTimes(in + 16 * m + from);
        sums[m] = {Avx2::added(sums[m].low, low, _mm256_xor_si256(x, lowMask)), Avx2::added(sums[m].high, high, _mm256_xor_si256(x, highMask))};
      }
    }
}

// By the operations of integerProduct (templates.h).
template <bool minima>
void product8(const Matrix& w, const uint8_t* panel, const Tile* tiles, size_t count, bool prefetches, float* out) {
  constexpr int32_t zero = (minima ? 0 : 128) - Avx2::shift8;
  alignas(64) uint8_t unpacked[unpackedBytes(16) * inputsAtOnce / 16];
  const size_t record = w.recordBytes(), header = minima ? 128 : 64, bytes = unpackedBytes(w.blockSize);
  const size_t blocks = w.inputs / w.blockSize, atOnce = inputsAtOnce / w.blockSize;
  for (size_t from = 0; from < blocks; from += atOnce) {
    const size_t now = blocks - from < atOnce ? blocks - from : atOnce;
    // To those of the next round, which may be the next panel's.
    const size_t distance = prefetches ? now * record : 0;
    for (size_t b = 0; b < now; b++) unpack(panel + (from + b) * record + header, w.blockSize, unpacked + b * bytes);
    for (size_t t = 0; t < count; t++) {
      const Tile& x = tiles[t];
      float* totals = out + t * tileRows * lanes;
      for (size_t b = 0; b < now; b++) {
        const size_t block = from + b;
        const uint8_t* at = panel + block * record;
        // A tile asks for its share of what comes next, so that memory has as much to do all the time.
        for (size_t line = record * t / count / 64 * 64, end = record * (t + 1) / count / 64 * 64; distance > 0 && line < end; line += 64) Avx2::prefetch(at + line + distance);
        const float *scales = reinterpret_cast<const float*>(at), *rowScales = x.scales + block * tileRows;
        const int32_t* rowSums = x.sums + block * tileRows;
        Avx2::Sums sums[tileRows];
        for (size_t m = 0; m < tileRows; m++) sums[m] = Avx2::start(-zero * rowSums[m]);
        addUnpacked(unpacked + b * bytes, w.blockSize, x.integers + block * w.blockSize * tileRows, sums);
        const auto scale = Avx2::load(scales), minimum = minima ? Avx2::load(scales + lanes) : scale;
        for (size_t m = 0; m < tileRows; m++) {
          const auto total = block == 0 ? Avx2::set(0) : Avx2::load(totals + m * lanes);
          Avx2::store(totals + m * lanes, addBlock<Avx2, minima>(scale, minimum, rowScales[m], rowSums[m], sums[m], total));
        }
      }
    }
  }
}

// The first tile asks for weights as products of few rows do (linear.cc), the others find them in a cache.
constexpr size_t distance4 = 8192;

template <bool minima>
void product4(const Matrix& w, const uint8_t* panel, const Tile* tiles, size_t count, bool prefetches, float* out) {
  for (size_t t = 0; t < count; t++) integerProduct<Avx2, int(tileRows), 4, minima>(w, panel, tiles[t], prefetches && t == 0 ? distance4 : 0, out + t * tileRows * lanes);
}

bool takes(size_t blockSize) { return blockSize % 16 == 0 && blockSize <= inputsAtOnce && inputsAtOnce % blockSize == 0; }

bool product(const Matrix& w, size_t panel, const Tile* tiles, size_t count, bool prefetches, const Destination& to, float* out) {
  const uint8_t* at = w.data + panel * w.panelBytes();
  // Each row's results are far from the last one's: nobody else asks for them.
  size_t rows = 0;
  for (size_t t = 0; t < count; t++)
    for (size_t m = 0; m < tiles[t].rows; m++, rows++) Avx2::prefetch(reinterpret_cast<const uint8_t*>(to.at + rows * to.stride));
  if (w.format == Format::int8) (w.hasMinima ? product8<true> : product8<false>)(w, at, tiles, count, prefetches, out);
  else (w.hasMinima ? product4<true> : product4<false>)(w, at, tiles, count, prefetches, out);
  for (size_t row = 0; to.put && row < rows; row++) {
    auto y = Avx2::load(out + row * lanes);
    if (to.bias) y = Avx2::add(y, Avx2::load(to.bias));
    float* result = to.at + row * to.stride;
    Avx2::store(result, to.add ? Avx2::add(Avx2::load(result), y) : y);
  }
  return to.put;
}

constexpr ManyRows table = {16, tileRows, tileRows, 16, 1, 1024 * 1024, takes, product};

}  // namespace Avx2ManyRows

constexpr Kernels withManyRows() {
  Kernels kernels = kernelsOf<Avx2>("avx2");
  kernels.manyRows = &Avx2ManyRows::table;
  return kernels;
}

}  // namespace

extern constexpr Kernels avx2Kernels = withManyRows();

}  // namespace parscale
