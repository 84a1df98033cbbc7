// The kernels, once for all instruction sets. `Isa` says what 16 floats, 16 sums of products of bytes, and the weights they are
// made of are, and has a function for every step below (portable.cc is the shortest to read).
//
// Each file that includes this compiles it with its own flags. `Isa` lives in an anonymous namespace there, so that nothing
// compiled for one CPU is ever linked into the code for another.
#pragma once
#include <cstring>
#include <limits>
#include <utility>

#include "kernels.h"

namespace parscale {

constexpr size_t cacheLine = 64;

// Isa::prefetch must be inlined always: GCC takes a function that only prefetches for one without effect, and drops its calls.
template <class Isa>
[[gnu::always_inline]] inline void prefetchLine(Prefetch& prefetch) {
  if (prefetch.at >= prefetch.end) return;
  Isa::prefetch(prefetch.at);
  prefetch.at += cacheLine;
}

// ---- the first n of 16 lanes ----

template <class Isa>
typename Isa::Floats loadSome(const float* from, size_t n) {
  if (n >= lanes) return Isa::load(from);
  alignas(64) float some[lanes] = {};
  std::memcpy(some, from, n * sizeof(float));
  return Isa::load(some);
}

template <class Isa>
void storeSome(float* to, typename Isa::Floats x, size_t n) {
  if (n >= lanes) return Isa::store(to, x);
  alignas(64) float some[lanes];
  Isa::store(some, x);
  std::memcpy(to, some, n * sizeof(float));
}

// ---- products ----

// total + (integers * scale, + sum * minimum) * the row's own scale.
template <class Isa, bool minima>
[[gnu::always_inline]] inline typename Isa::Floats addBlock(typename Isa::Floats scale, typename Isa::Floats minimum, float rowScale, int32_t sum,
                                                            typename Isa::Sums integers, typename Isa::Floats total) {
  if constexpr (minima) {
    const auto block = Isa::fma(Isa::toFloats(integers), scale, Isa::mul(minimum, Isa::set(float(sum))));
    return Isa::fma(block, Isa::set(rowScale), total);
  } else {
    return Isa::fma(Isa::toFloats(integers), Isa::mul(scale, Isa::set(rowScale)), total);
  }
}

// sums += products of `inputs` weights with a tile's rows.
template <class Isa, int M, int bits>
[[gnu::always_inline]] inline void addProducts(size_t inputs, size_t distance, const uint8_t*& at, const int8_t*& in, typename Isa::Sums (&sums)[M]) {
  for (size_t k = 0; k < inputs; k += 16, in += 16 * M) {
    // 64 bytes hold 4 inputs of 16 outputs in 8 bits, 8 inputs in 4 bits.
    for (int from = 0; from < 16; from += 32 / bits, at += 64) {
      if constexpr (bits == 8) {
        const auto weights = Isa::weights8(at);
        Isa::prefetch(at + distance);
        for (int m = 0; m < M; m++) sums[m] = Isa::dot8(sums[m], weights, in + 16 * m + from);
      } else {
        const auto low = Isa::lowNibbles(at);
        const auto high = Isa::highNibbles(at);
        Isa::prefetch(at + distance);
        for (int m = 0; m < M; m++) sums[m] = Isa::dot4(sums[m], low, in + 16 * m + from);
        for (int m = 0; m < M; m++) sums[m] = Isa::dot4(sums[m], high, in + 16 * m + from + 4);
      }
    }
  }
}

// Weights are unsigned, inputs signed. An instruction set whose dot product is signed shifts weights by `shift8` first; sums
// start with what makes up for that and for the zero point, which is the same number for all 16 outputs of a row.
template <class Isa, int M, int bits, bool minima>
void integerProduct(const Matrix& w, const uint8_t* at, const Tile& x, size_t distance, float* out) {
  constexpr int32_t zero = bits == 8 ? (minima ? 0 : 128) - Isa::shift8 : minima ? 0 : 8;
  // Totals of few rows have registers of their own; those of many stay in the first cache level, as the sums of a block need the registers.
  constexpr bool keeps = M <= Isa::totalRows;
  // As many products of 4 bits as fit into `Isa::narrowInputs`' sums of 16 bits.
  constexpr bool narrow = bits == 4 && Isa::narrowInputs > 0;
  const int8_t* in = x.integers;
  typename Isa::Floats total[keeps ? M : 1];
  for (int m = 0; m < M; m++) {
    if constexpr (keeps) total[m] = Isa::set(0);
    else Isa::store(out + m * lanes, Isa::set(0));
  }
  for (size_t block = 0; block < w.inputs / w.blockSize; block++) {
    const float* scales = reinterpret_cast<const float*>(at);
    const int32_t* sums = x.sums + block * M;
    const float* rowScales = x.scales + block * M;
    Isa::prefetch(at + distance);
    at += minima ? 128 : 64;
    typename Isa::Sums acc[M];
    for (int m = 0; m < M; m++) {
      if constexpr (zero == 0) acc[m] = Isa::start(0);
      else acc[m] = Isa::times(Isa::start(sums[m]), -zero);
    }
    if constexpr (narrow) {
      for (size_t k = 0; k < w.blockSize; k += Isa::narrowInputs) {
        typename Isa::Sums some[M];
        for (int m = 0; m < M; m++) some[m] = Isa::start(0);
        addProducts<Isa, M, bits>(w.blockSize - k < Isa::narrowInputs ? w.blockSize - k : Isa::narrowInputs, distance, at, in, some);
        for (int m = 0; m < M; m++) acc[m] = Isa::addNarrow(acc[m], some[m]);
      }
    } else {
      addProducts<Isa, M, bits>(w.blockSize, distance, at, in, acc);
    }
    const auto scale = Isa::load(scales), minimum = minima ? Isa::load(scales + lanes) : scale;
    for (int m = 0; m < M; m++) {
      if constexpr (keeps) total[m] = addBlock<Isa, minima>(scale, minimum, rowScales[m], sums[m], acc[m], total[m]);
      else Isa::store(out + m * lanes, addBlock<Isa, minima>(scale, minimum, rowScales[m], sums[m], acc[m], Isa::load(out + m * lanes)));
    }
  }
  if constexpr (keeps)
    for (int m = 0; m < M; m++) Isa::store(out + m * lanes, total[m]);
}

// Sums of 128 products are added to the total one by one: that loses fewer bits than one long sum.
template <class Isa, int M, Format format>
void floatProduct(const Matrix& w, const uint8_t* at, const Tile& x, size_t distance, float* out) {
  constexpr size_t bytes = format == Format::f32 ? 64 : 32;
  const float* in = x.floats;
  typename Isa::Floats total[M];
  for (int m = 0; m < M; m++) total[m] = Isa::set(0);
  for (size_t from = 0; from < w.inputs; from += 128) {
    const size_t to = from + 128 < w.inputs ? from + 128 : w.inputs;
    typename Isa::Floats acc[M];
    for (int m = 0; m < M; m++) acc[m] = Isa::set(0);
    for (size_t k = from; k < to; k++, at += bytes, in += M) {
      Isa::prefetch(at + distance);
      typename Isa::Floats weights;
      if constexpr (format == Format::f32) weights = Isa::load(reinterpret_cast<const float*>(at));
      else weights = Isa::loadBf16(reinterpret_cast<const uint16_t*>(at));
      for (int m = 0; m < M; m++) acc[m] = Isa::fma(weights, Isa::set(in[m]), acc[m]);
    }
    for (int m = 0; m < M; m++) total[m] = Isa::add(total[m], acc[m]);
  }
  for (int m = 0; m < M; m++) Isa::store(out + m * lanes, total[m]);
}

template <class Isa, int M>
void productOf(const Matrix& w, const uint8_t* panel, const Tile& x, size_t distance, float* out) {
  switch (w.format) {
    case Format::f32: return floatProduct<Isa, M, Format::f32>(w, panel, x, distance, out);
    case Format::bf16: return floatProduct<Isa, M, Format::bf16>(w, panel, x, distance, out);
    case Format::int8: return w.hasMinima ? integerProduct<Isa, M, 8, true>(w, panel, x, distance, out) : integerProduct<Isa, M, 8, false>(w, panel, x, distance, out);
    case Format::int4: return w.hasMinima ? integerProduct<Isa, M, 4, true>(w, panel, x, distance, out) : integerProduct<Isa, M, 4, false>(w, panel, x, distance, out);
  }
}

template <class Isa, int... Rows>
void productForRows(std::integer_sequence<int, Rows...>, const Matrix& w, const uint8_t* panel, const Tile& x, size_t distance, float* out) {
  using Product = void (*)(const Matrix&, const uint8_t*, const Tile&, size_t, float*);
  constexpr Product table[] = {productOf<Isa, Rows + 1>...};
  table[x.rows - 1](w, panel, x, distance, out);
}

template <class Isa>
void product(const Matrix& w, size_t panel, const Tile& x, size_t distance, float* out) {
  productForRows<Isa>(std::make_integer_sequence<int, Isa::tileRows>(), w, w.data + panel * w.panelBytes(), x, distance, out);
}

// ---- low ranks ----

template <class Isa, Format format>
typename Isa::Floats loadWeights(const uint8_t* at) {
  if constexpr (format == Format::f32) return Isa::load(reinterpret_cast<const float*>(at));
  else return Isa::loadBf16(reinterpret_cast<const uint16_t*>(at));
}

// How far ahead low ranks are asked for: adapters of neighbouring rows follow each other in memory.
constexpr size_t rankPrefetch = 2048;

template <class Isa, Format format, int R>
void rankSums(const uint8_t* at, const float* x, size_t inputs, float* out) {
  constexpr size_t bytes = format == Format::f32 ? 64 : 32;
  typename Isa::Floats acc[R];
  for (int r = 0; r < R; r++) acc[r] = Isa::set(0);
  for (size_t k = 0; k < inputs; k += lanes) {
    const auto in = loadSome<Isa>(x + k, inputs - k);
    for (int r = 0; r < R; r++, at += bytes) {
      Isa::prefetch(at + rankPrefetch);
      acc[r] = Isa::fma(loadWeights<Isa, format>(at), in, acc[r]);
    }
  }
  for (int r = 0; r < R; r++) out[r] = Isa::sum(acc[r]);
}

template <class Isa, Format format>
void rankProductOf(const RankMatrix& a, const float* x, float* out) {
  static_assert(RankMatrix::together == 4);
  const uint8_t* at = a.data;
  size_t r = 0;
  for (; r + 4 <= a.outputs; r += 4, at += 4 * a.rowBytes()) rankSums<Isa, format, 4>(at, x, a.inputs, out + r);
  if (a.outputs - r == 3) rankSums<Isa, format, 3>(at, x, a.inputs, out + r);
  if (a.outputs - r == 2) rankSums<Isa, format, 2>(at, x, a.inputs, out + r);
  if (a.outputs - r == 1) rankSums<Isa, format, 1>(at, x, a.inputs, out + r);
}

template <class Isa>
void rankProduct(const RankMatrix& a, const float* x, float* out) {
  if (a.format == Format::f32) rankProductOf<Isa, Format::f32>(a, x, out);
  else rankProductOf<Isa, Format::bf16>(a, x, out);
}

template <class Isa, Format format>
void adaptPanelOf(const PanelAdapters& adapters, size_t rows, float* y) {
  constexpr size_t bytes = format == Format::f32 ? 64 : 32;
  const float* low = adapters.low;
  for (size_t row = 0; row < rows; row++, y += lanes, low += adapters.lowStride) {
    const uint32_t number = adapters.numbers[row];
    if (number == 0) continue;
    auto result = Isa::load(y);
    if (adapters.scale.at) {
      const uint8_t* at = adapters.scale.of(number);
      Isa::prefetch(at + cacheLine);
      result = Isa::mul(result, Isa::load(reinterpret_cast<const float*>(at)));
    }
    if (adapters.up.at) {
      const uint8_t* at = adapters.up.of(number);
      auto added = Isa::set(0);
      for (size_t r = 0; r < adapters.rank; r++, at += bytes) {
        if (r * bytes % cacheLine == 0) Isa::prefetch(at + adapters.rank * bytes);
        added = Isa::fma(loadWeights<Isa, format>(at), Isa::set(low[r]), added);
      }
      result = Isa::add(result, added);
    }
    if (adapters.bias.at) {
      const uint8_t* at = adapters.bias.of(number);
      Isa::prefetch(at + cacheLine);
      result = Isa::add(result, Isa::load(reinterpret_cast<const float*>(at)));
    }
    Isa::store(y, result);
  }
}

template <class Isa>
void adaptPanel(const PanelAdapters& adapters, size_t rows, float* y) {
  if (adapters.format == Format::f32) adaptPanelOf<Isa, Format::f32>(adapters, rows, y);
  else adaptPanelOf<Isa, Format::bf16>(adapters, rows, y);
}

// ---- inputs of products ----

// Rounds to -127..127 of the block's largest magnitude. A block in which anything is not finite gets NaN for a scale, and so
// does every output of its row: a fault is never rounded away.
template <class Isa>
void fillTile(const float* x, size_t inputs, size_t blockSize, const Tile& tile, size_t row, Prefetch& prefetch) {
  const size_t M = tile.rows;
  if (blockSize == 0) {
    for (size_t k = 0; k < inputs; k++) tile.floats[k * M + row] = x[k];
    return;
  }
  for (size_t block = 0; block * blockSize < inputs; block++, x += blockSize) {
    auto largest = Isa::set(0);
    auto zero = Isa::set(0);
    for (size_t k = 0; k < blockSize; k += lanes) {
      const auto v = Isa::load(x + k);
      largest = Isa::max(Isa::abs(v), largest);
      zero = Isa::fma(v, Isa::set(0), zero);
    }
    const float extreme = Isa::largest(largest);
    const auto factor = Isa::set(extreme > 0 ? 127 / extreme : 0);
    auto sums = Isa::start(0);
    for (size_t k = 0; k < blockSize; k += lanes) {
      const size_t input = block * blockSize + k;
      int8_t* out = tile.integers + (input / tile.width * tile.room + row) * tile.width + input % tile.width;
      prefetchLine<Isa>(prefetch);
      const auto scaled = Isa::mul(Isa::load(x + k), factor);
      sums = Isa::addIntegers(sums, Isa::roundToBytes(Isa::max(Isa::min(scaled, Isa::set(127)), Isa::set(-127)), out));
    }
    tile.scales[block * tile.room + row] = extreme / 127 + Isa::sum(zero);
    tile.sums[block * tile.room + row] = Isa::sumOfIntegers(sums);
  }
}

// ---- what goes row by row ----

template <class Isa>
void rmsNorm(const float* x, const float* weight, size_t n, float eps, float* y) {
  auto squares = Isa::set(0);
  for (size_t i = 0; i < n; i += lanes) {
    const auto v = loadSome<Isa>(x + i, n - i);
    squares = Isa::fma(v, v, squares);
  }
  const float meanSquare = Isa::sum(squares) / float(n);
  const auto factor = Isa::set(1 / Isa::squareRoot(meanSquare + eps));
  for (size_t i = 0; i < n; i += lanes) {
    const auto v = Isa::mul(loadSome<Isa>(x + i, n - i), factor);
    storeSome<Isa>(y + i, Isa::mul(v, loadSome<Isa>(weight + i, n - i)), n - i);
  }
}

template <class Isa>
void rotate(float* head, const float* cosines, const float* sines, size_t half) {
  for (size_t i = 0; i < half; i += lanes) {
    const size_t n = half - i;
    const auto a = loadSome<Isa>(head + i, n), b = loadSome<Isa>(head + half + i, n);
    const auto c = loadSome<Isa>(cosines + i, n), s = loadSome<Isa>(sines + i, n);
    storeSome<Isa>(head + i, Isa::sub(Isa::mul(a, c), Isa::mul(b, s)), n);
    storeSome<Isa>(head + half + i, Isa::add(Isa::mul(b, c), Isa::mul(a, s)), n);
  }
}

// e^x to 2 units in the last place: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its series to r^7 (next term 2^-27 relative).
// Below -87.3 exactly 0, above 88 e^88.
template <class Isa>
typename Isa::Floats exponential(typename Isa::Floats x) {
  using F = typename Isa::Floats;
  x = Isa::max(Isa::min(x, Isa::set(88)), Isa::set(-88));
  const F n = Isa::round(Isa::mul(x, Isa::set(1.44269504f)));
  F r = Isa::fma(n, Isa::set(-0.693359375f), x);  // ln 2 in two parts, the first of which times n is exact
  r = Isa::fma(n, Isa::set(2.12194440e-4f), r);
  F y = Isa::set(1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) y = Isa::fma(y, r, Isa::set(c));
  return Isa::mul(y, Isa::powerOfTwo(n));
}

template <class Isa>
typename Isa::Floats siluOf(typename Isa::Floats x) {
  return Isa::div(x, Isa::add(Isa::set(1), exponential<Isa>(Isa::sub(Isa::set(0), x))));
}

template <class Isa>
void silu(float* x, size_t n) {
  for (size_t i = 0; i < n; i += lanes) storeSome<Isa>(x + i, siluOf<Isa>(loadSome<Isa>(x + i, n - i)), n - i);
}

template <class Isa>
void siluTimes(float* gate, const float* up, size_t n, Prefetch& prefetch) {
  for (size_t i = 0; i < n; i += lanes) {
    prefetchLine<Isa>(prefetch);
    const auto activated = siluOf<Isa>(loadSome<Isa>(gate + i, n - i));
    storeSome<Isa>(gate + i, Isa::mul(activated, loadSome<Isa>(up + i, n - i)), n - i);
  }
}

template <class Isa>
void softmax(float* x, size_t n) {
  float most = x[0];
  for (size_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
  auto sums = Isa::set(0);
  for (size_t i = 0; i < n; i += lanes) {
    storeSome<Isa>(x + i, exponential<Isa>(Isa::sub(loadSome<Isa>(x + i, n - i), Isa::set(most))), n - i);
    sums = Isa::add(sums, loadSome<Isa>(x + i, n - i));
  }
  const auto sum = Isa::set(Isa::sum(sums));
  for (size_t i = 0; i < n; i += lanes) storeSome<Isa>(x + i, Isa::div(loadSome<Isa>(x + i, n - i), sum), n - i);
}

template <class Isa>
bool finite(const float* x, size_t n) {
  auto zero = Isa::set(0);
  for (size_t i = 0; i < n; i += lanes) zero = Isa::fma(loadSome<Isa>(x + i, n - i), Isa::set(0), zero);
  return Isa::sum(zero) == 0;
}

// Lanes add up a few numbers only in single precision: a vocabulary has a hundred thousand.
constexpr size_t addedAtOnce = 256;

template <class Isa>
void sumPowers(const float* x, size_t n, double out[2]) {
  out[0] = out[1] = std::numeric_limits<double>::quiet_NaN();
  if (!finite<Isa>(x, n)) return;
  const size_t whole = n / lanes * lanes;
  // What is left, with numbers behind it that change nothing.
  alignas(64) float rest[lanes];
  const auto fill = [&](float with) {
    for (size_t i = 0; i < lanes; i++) rest[i] = whole + i < n ? x[whole + i] : with;
    return Isa::load(rest);
  };
  auto largest = fill(x[0]);
  for (size_t i = 0; i < whole; i += lanes) largest = Isa::max(largest, Isa::load(x + i));
  const float most = Isa::largest(largest);
  const auto power = [&](typename Isa::Floats v) { return exponential<Isa>(Isa::sub(v, Isa::set(most))); };
  double sum = whole < n ? double(Isa::sum(power(fill(most - 200)))) : 0;
  for (size_t from = 0; from < whole; from += addedAtOnce) {
    auto sums = Isa::set(0);
    for (size_t i = from; i < whole && i < from + addedAtOnce; i += lanes) sums = Isa::add(sums, power(Isa::load(x + i)));
    sum += double(Isa::sum(sums));
  }
  out[0] = double(most);
  out[1] = sum;
}

}  // namespace parscale

#include "attention.h"
#include "rounding.h"

namespace parscale {

template <class Isa>
constexpr Kernels kernelsOf(const char* name) {
  return {name,
          size_t(Isa::tileRows),
          product<Isa>,
          rankProduct<Isa>,
          adaptPanel<Isa>,
          fillTile<Isa>,
          rmsNorm<Isa>,
          rotate<Isa>,
          siluTimes<Isa>,
          silu<Isa>,
          softmax<Isa>,
          sumPowers<Isa>,
          appendKv<Isa>,
          attend<Isa>,
          roundPanel<Isa>,
          nullptr};
}

}  // namespace parscale
