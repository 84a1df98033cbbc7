// Floats to blocks of integers, with the bits that JavaScript gives (core's checkpoint/quantise.ts, where the rules are explained): its numbers are
// doubles, so these are, and sums run over the inputs in order. What it does with one row after the other is done with 16 side by side.
#pragma once
#include <cstring>

#include "kernels.h"

namespace parscale {

// The extreme of a block may come to lie there among -8..7.
constexpr double roundingPlaces[] = {-7.2, -7.8, -8.4, -9, -9.8, -10.8};
constexpr size_t roundingPlaceCount = sizeof roundingPlaces / sizeof *roundingPlaces;

template <class Isa>
struct Rounding {
  // As many rows as a register has doubles. Of loops over rows compilers made scalar code, ten times as slow.
  using Doubles = typename Isa::Doubles;
  using Integers = typename Isa::Integers;
  static constexpr size_t width = sizeof(Doubles) / sizeof(double);

  // Registers of rows, and places, that sums are kept of at once, so that none waits for its last addition.
  static constexpr size_t vectors = lanes / width < 4 ? lanes / width : 4, placesAtOnce = 4 / vectors;
  static_assert(roundingPlaceCount % placesAtOnce == 0, "all places have their turn");

  static Doubles all(double x) { return x - Doubles{}; }
  static Doubles loadDoubles(const double* from) {
    Doubles x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static Doubles between(Doubles x, double least, double most) {
    x = x < all(most) ? x : all(most);
    return x > all(least) ? x : all(least);
  }
  // x + 8 to the nearest of 0..15, before it is cut to a whole number as JavaScript's integers are.
  static Doubles nibble(Doubles x) { return between(x + all(8.5), 0, 15); }

  // Of each row the element of largest magnitude, with its sign. False where an element is not finite.
  static bool extremes(const float* values, size_t size, double* out) {
    float least[lanes] = {}, most[lanes] = {}, difference[lanes] = {};
    for (size_t k = 0; k < size; k++, values += lanes) {
      for (size_t row = 0; row < lanes; row++) {
        least[row] = values[row] < least[row] ? values[row] : least[row];
        most[row] = values[row] > most[row] ? values[row] : most[row];
        difference[row] += values[row] - values[row];
      }
    }
    bool finite = true;
    for (size_t row = 0; row < lanes; row++) {
      out[row] = most[row] >= -least[row] ? most[row] : least[row];
      finite = finite && difference[row] == 0;
    }
    return finite;
  }

  // Of six scales that with the least squared error; 0 where the extreme is.
  static void leastSquaresScales(const float* values, size_t size, const double* extreme, double* best) {
    double bestGain[lanes];
    for (size_t row = 0; row < lanes; row++) {
      bestGain[row] = -1;
      best[row] = 0;
    }
    for (size_t first = 0; first < lanes; first += vectors * width) {
      for (size_t place = 0; place < roundingPlaceCount; place += placesAtOnce) {
        Doubles inverse[placesAtOnce][vectors], products[placesAtOnce][vectors] = {}, squares[placesAtOnce][vectors] = {};
        for (size_t p = 0; p < placesAtOnce; p++) {
          double each[vectors * width];
          for (size_t row = 0; row < vectors * width; row++) each[row] = extreme[first + row] == 0 ? 0 : roundingPlaces[place + p] / extreme[first + row];
          for (size_t v = 0; v < vectors; v++) inverse[p][v] = loadDoubles(each + v * width);
        }
        for (size_t k = 0; k < size; k++) {
          for (size_t v = 0; v < vectors; v++) {
            const Doubles x = Isa::widened(values + k * lanes + first + v * width);
            for (size_t p = 0; p < placesAtOnce; p++) {
              const Doubles q = Isa::cut(nibble(x * inverse[p][v])) - all(8);
              products[p][v] += x * q;
              squares[p][v] += q * q;
            }
          }
        }
        for (size_t p = 0; p < placesAtOnce; p++) {
          for (size_t i = 0; i < vectors * width; i++) {
            const size_t row = first + i;
            const double product = products[p][i / width][i % width], square = squares[p][i / width][i % width];
            if (extreme[row] == 0) continue;
            const double gain = product * product / square;
            if (gain > bestGain[row]) {
              bestGain[row] = gain;
              best[row] = product / square;
            }
          }
        }
      }
    }
  }

  // Integers of some inputs of each row, in the order of kernels.h, as words.
  template <bool bytes>
  static void roundBlock(const float* values, size_t size, const double* inverse, const uint32_t* mask, uint8_t* out) {
    constexpr size_t inputs = bytes ? 4 : 8;
    for (size_t k = 0; k < size; k += inputs, out += 4 * lanes) {
      for (size_t first = 0; first < lanes; first += width) {
        const Doubles scale = loadDoubles(inverse + first);
        Integers words;
        std::memcpy(&words, mask + first, sizeof words);
        const Integers kept = words;
        words = Integers{};
        for (size_t i = 0; i < inputs; i++) {
          const Doubles x = Isa::widened(values + (k + i) * lanes + first) * scale;
          // A scale that is hardly a float any more may have been rounded down far enough for more than 255.
          const Doubles q = bytes ? between(x + all(128.5), 1, 255) : nibble(x);
          words |= Isa::integers(q) << int(bytes ? 8 * i : 8 * (i % 4) + 4 * (i / 4));
        }
        words &= kept;
        std::memcpy(out + 4 * first, &words, sizeof words);
      }
    }
  }
};

template <class Isa>
bool roundPanel(const Matrix& m, const float* values, size_t count, uint8_t* panel) {
  using R = Rounding<Isa>;
  const bool bytes = m.format == Format::int8;
  // Rounded up, the scale of a block whose extreme is the largest float would make it infinite.
  const double largest = bytes ? 3.4028e38 / 127 : 3.4028e38 / 8;
  uint32_t mask[lanes];
  for (size_t row = 0; row < lanes; row++) mask[row] = row < count ? ~uint32_t(0) : 0;
  for (size_t from = 0; from < m.inputs; from += m.blockSize, panel += m.recordBytes(), values += m.blockSize * lanes) {
    double extreme[lanes], scales[lanes], inverse[lanes];
    if (!R::extremes(values, m.blockSize, extreme)) return false;
    if (!bytes) R::leastSquaresScales(values, m.blockSize, extreme, scales);
    for (size_t row = 0; row < lanes; row++) {
      if (bytes) scales[row] = (extreme[row] < 0 ? -extreme[row] : extreme[row]) / 127;
      const float scale = float(scales[row] > largest ? largest : scales[row] < -largest ? -largest : scales[row]);
      inverse[row] = scale == 0 ? 0 : 1 / double(scale);
      std::memcpy(panel + 4 * row, &scale, sizeof scale);
    }
    if (bytes) R::template roundBlock<true>(values, m.blockSize, inverse, mask, panel + 4 * lanes);
    else R::template roundBlock<false>(values, m.blockSize, inverse, mask, panel + 4 * lanes);
  }
  return true;
}

}  // namespace parscale
