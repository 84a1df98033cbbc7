// Plain C++ for any CPU, and what all others are tested against.
// std::fma is exact everywhere, but slow where the CPU has no instruction for it.
#include <cmath>

#include "half.h"
#include "templates.h"

namespace parscale {
namespace {

struct Portable {
  static constexpr int tileRows = 4;
  static constexpr int totalRows = 1;
  static constexpr int accumulators = 4;
  static constexpr int32_t shift8 = 0;
  static constexpr size_t narrowInputs = 0;

  struct Floats { float v[lanes]; };
  struct Sums { int32_t v[lanes]; };
  struct Weights { uint8_t v[64]; };

  template <class F>
  static Floats each(F f) {
    Floats y;
    for (size_t i = 0; i < lanes; i++) y.v[i] = f(i);
    return y;
  }

  static Floats set(float x) { return each([&](size_t) { return x; }); }
  static Floats load(const float* from) { return each([&](size_t i) { return from[i]; }); }
  static Floats loadBf16(const uint16_t* from) { return each([&](size_t i) { return floatFromBits(uint32_t(from[i]) << 16); }); }
  static Floats loadHalf(const uint16_t* from) { return each([&](size_t i) { return floatFromHalf(from[i]); }); }
  static void store(float* to, Floats x) { std::memcpy(to, x.v, sizeof x.v); }
  static void storeHalf(uint16_t* to, Floats x) { for (size_t i = 0; i < lanes; i++) to[i] = halfFromFloat(x.v[i]); }

  static Floats add(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] + b.v[i]; }); }
  static Floats sub(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] - b.v[i]; }); }
  static Floats mul(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] * b.v[i]; }); }
  static Floats div(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] / b.v[i]; }); }
  static Floats fma(Floats a, Floats b, Floats c) { return each([&](size_t i) { return std::fma(a.v[i], b.v[i], c.v[i]); }); }
  static Floats abs(Floats a) { return each([&](size_t i) { return std::fabs(a.v[i]); }); }
  // Of NaN and a number the second operand, as x86 has it.
  static Floats max(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
  static Floats min(Floats a, Floats b) { return each([&](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
  static Floats round(Floats a) { return each([&](size_t i) { return std::nearbyint(a.v[i]); }); }
  static Floats powerOfTwo(Floats n) { return each([&](size_t i) { return floatFromBits(uint32_t(int32_t(n.v[i]) + 127) << 23); }); }
  // Of rounding.h.
  typedef double Doubles __attribute__((vector_size(16)));
  typedef int32_t Integers __attribute__((vector_size(8)));
  static Doubles widened(const float* from) { return Doubles{double(from[0]), double(from[1])}; }
  // Of what is not negative.
  static Doubles cut(Doubles x) {
    // To the nearest whole number, and back where that lies above.
    const Doubles large = {0x1p52, 0x1p52}, nearest = (x + large) - large;
    return nearest - (nearest > x ? Doubles{1, 1} : Doubles{0, 0});
  }
  static Integers integers(Doubles x) { return Integers{int32_t(x[0]), int32_t(x[1])}; }

  static float squareRoot(float x) { return std::sqrt(x); }

  // Halves are added until one number is left: the order in which wide registers do it.
  static float sum(Floats x) {
    for (size_t n = lanes / 2; n > 0; n /= 2)
      for (size_t i = 0; i < n; i++) x.v[i] += x.v[i + n];
    return x.v[0];
  }
  static float largest(Floats x) {
    for (size_t n = lanes / 2; n > 0; n /= 2)
      for (size_t i = 0; i < n; i++) x.v[i] = x.v[i] > x.v[i + n] ? x.v[i] : x.v[i + n];
    return x.v[0];
  }
  // Gives what it stores.
  static Sums roundToBytes(Floats x, int8_t* to) {
    Sums y;
    for (size_t i = 0; i < lanes; i++) {
      to[i] = int8_t(std::nearbyint(x.v[i]));
      y.v[i] = to[i];
    }
    return y;
  }

  static Sums start(int32_t x) {
    Sums y;
    for (int32_t& v : y.v) v = x;
    return y;
  }
  static Sums times(Sums a, int32_t factor) {
    for (int32_t& v : a.v) v *= factor;
    return a;
  }
  static Sums addIntegers(Sums a, const Sums& b) {
    for (size_t i = 0; i < lanes; i++) a.v[i] += b.v[i];
    return a;
  }
  static int32_t sumOfIntegers(const Sums& x) {
    int32_t sum = 0;
    for (const int32_t v : x.v) sum += v;
    return sum;
  }
  static Floats toFloats(const Sums& x) { return each([&](size_t i) { return float(x.v[i]); }); }
  static Weights weights8(const uint8_t* at) {
    Weights w;
    std::memcpy(w.v, at, sizeof w.v);
    return w;
  }
  static Weights lowNibbles(const uint8_t* at) {
    Weights w;
    for (size_t i = 0; i < 64; i++) w.v[i] = at[i] & 15;
    return w;
  }
  static Weights highNibbles(const uint8_t* at) {
    Weights w;
    for (size_t i = 0; i < 64; i++) w.v[i] = at[i] >> 4;
    return w;
  }
  static Sums dot8(Sums acc, const Weights& w, const int8_t* in) {
    for (size_t i = 0; i < lanes; i++)
      for (size_t k = 0; k < 4; k++) acc.v[i] += int32_t(w.v[4 * i + k]) * in[k];
    return acc;
  }
  static Sums dot4(const Sums& acc, const Weights& w, const int8_t* in) { return dot8(acc, w, in); }
  static constexpr int32_t cachedShift = shift8;
  static Weights cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(const Sums& acc, const Weights& bytes, const int8_t* in) { return dot8(acc, bytes, in); }
  static void prefetch(const uint8_t*) {}
};

}  // namespace

extern const Kernels portableKernels = kernelsOf<Portable>("portable");

}  // namespace parscale
