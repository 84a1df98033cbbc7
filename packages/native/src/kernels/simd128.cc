// WebAssembly: 16 floats are four registers of 128 bits. It has no fused multiplication that all browsers do alike, so that floats are rounded
// once more than elsewhere: rows still do not depend on each other, but their bits are those of no other instruction set. Products of bytes came
// late ("relaxed SIMD"), and are exact where one byte has seven bits: for weights of 4. Others are made 16 bits wide.
#include <wasm_simd128.h>

#include "half.h"
#include "templates.h"

namespace parscale {
namespace {

struct Simd128 {
  static constexpr int tileRows = 4;
  static constexpr int totalRows = 1;
  static constexpr int accumulators = 6;
  static constexpr int32_t shift8 = 0;
  static constexpr size_t narrowInputs = 0;

  struct Floats { v128_t v[4]; };
  struct Sums { v128_t v[4]; };
  // In 16 bits: of four outputs the first two inputs, then the other two.
  struct Weights { v128_t v[8]; };
#if defined(__wasm_relaxed_simd__)
  struct Nibbles { v128_t v[4]; };
#else
  using Nibbles = Weights;
#endif

  template <class F>
  [[gnu::always_inline]] static Floats each(F f) { return {{f(0), f(1), f(2), f(3)}}; }

  static Floats set(float x) { return each([&](int) { return wasm_f32x4_splat(x); }); }
  static Floats load(const float* from) { return each([&](int i) { return wasm_v128_load(from + 4 * i); }); }
  static Floats loadBf16(const uint16_t* from) { return each([&](int i) { return wasm_i32x4_shl(wasm_u32x4_load16x4(from + 4 * i), 16); }); }
  static Floats loadHalf(const uint16_t* from) {
    alignas(16) float x[lanes];
    for (size_t i = 0; i < lanes; i++) x[i] = floatFromHalf(from[i]);
    return load(x);
  }
  static void store(float* to, Floats x) { for (int i = 0; i < 4; i++) wasm_v128_store(to + 4 * i, x.v[i]); }
  static void storeHalf(uint16_t* to, Floats x) {
    alignas(16) float y[lanes];
    store(y, x);
    for (size_t i = 0; i < lanes; i++) to[i] = halfFromFloat(y[i]);
  }

  static Floats add(Floats a, Floats b) { return each([&](int i) { return wasm_f32x4_add(a.v[i], b.v[i]); }); }
  static Floats sub(Floats a, Floats b) { return each([&](int i) { return wasm_f32x4_sub(a.v[i], b.v[i]); }); }
  static Floats mul(Floats a, Floats b) { return each([&](int i) { return wasm_f32x4_mul(a.v[i], b.v[i]); }); }
  static Floats div(Floats a, Floats b) { return each([&](int i) { return wasm_f32x4_div(a.v[i], b.v[i]); }); }
  static Floats fma(Floats a, Floats b, Floats c) { return each([&](int i) { return wasm_f32x4_add(wasm_f32x4_mul(a.v[i], b.v[i]), c.v[i]); }); }
  static Floats abs(Floats a) { return each([&](int i) { return wasm_f32x4_abs(a.v[i]); }); }
  static Floats max(Floats a, Floats b) { return each([&](int i) { return larger(a.v[i], b.v[i]); }); }
  static Floats min(Floats a, Floats b) { return each([&](int i) { return wasm_f32x4_pmin(b.v[i], a.v[i]); }); }
  static Floats round(Floats a) { return each([&](int i) { return wasm_f32x4_nearest(a.v[i]); }); }
  static Floats powerOfTwo(Floats n) {
    return each([&](int i) { return wasm_i32x4_shl(wasm_i32x4_add(rounded(n.v[i]), wasm_i32x4_splat(127)), 23); });
  }
  static float squareRoot(float x) { return __builtin_sqrtf(x); }

  // Of NaN and a number the second operand, as x86 has it.
  static v128_t larger(v128_t a, v128_t b) { return wasm_f32x4_pmax(b, a); }
  static v128_t rounded(v128_t x) { return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(x)); }
  static v128_t swapped(v128_t x) { return wasm_i64x2_shuffle(x, x, 1, 0); }

  static float sum(Floats x) {
    const v128_t four = wasm_f32x4_add(wasm_f32x4_add(x.v[0], x.v[2]), wasm_f32x4_add(x.v[1], x.v[3]));
    const v128_t two = wasm_f32x4_add(four, swapped(four));
    return wasm_f32x4_extract_lane(two, 0) + wasm_f32x4_extract_lane(two, 1);
  }
  static float largest(Floats x) {
    const v128_t four = larger(larger(x.v[0], x.v[2]), larger(x.v[1], x.v[3]));
    const v128_t two = larger(four, swapped(four));
    const float a = wasm_f32x4_extract_lane(two, 0), b = wasm_f32x4_extract_lane(two, 1);
    return a > b ? a : b;
  }
  static Sums roundToBytes(Floats x, int8_t* to) {
    Sums y;
    for (int i = 0; i < 4; i++) y.v[i] = rounded(x.v[i]);
    wasm_v128_store(to, wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(y.v[0], y.v[1]), wasm_i16x8_narrow_i32x4(y.v[2], y.v[3])));
    return y;
  }

  static Sums start(int32_t x) {
    const v128_t all = wasm_i32x4_splat(x);
    return {{all, all, all, all}};
  }
  static Sums times(Sums a, int32_t factor) {
    for (v128_t& v : a.v) v = wasm_i32x4_mul(v, wasm_i32x4_splat(factor));
    return a;
  }
  static Sums addIntegers(Sums a, Sums b) {
    for (int i = 0; i < 4; i++) a.v[i] = wasm_i32x4_add(a.v[i], b.v[i]);
    return a;
  }
  static int32_t sumOfIntegers(Sums x) {
    const v128_t four = wasm_i32x4_add(wasm_i32x4_add(x.v[0], x.v[1]), wasm_i32x4_add(x.v[2], x.v[3]));
    const v128_t two = wasm_i32x4_add(four, swapped(four));
    return wasm_i32x4_extract_lane(two, 0) + wasm_i32x4_extract_lane(two, 1);
  }
  static Floats toFloats(Sums x) { return each([&](int i) { return wasm_f32x4_convert_i32x4(x.v[i]); }); }

  [[gnu::always_inline]] static void widen(v128_t bytes, v128_t* to) {
    const v128_t pairs = wasm_i8x16_shuffle(bytes, bytes, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    to[0] = wasm_u16x8_extend_low_u8x16(pairs);
    to[1] = wasm_u16x8_extend_high_u8x16(pairs);
  }
  static Weights weights8(const uint8_t* at) {
    Weights w;
    for (int i = 0; i < 4; i++) widen(wasm_v128_load(at + 16 * i), w.v + 2 * i);
    return w;
  }
  [[gnu::always_inline]] static Sums dot8(Sums acc, const Weights& w, const int8_t* in) {
    const v128_t x = wasm_i16x8_extend_low_i8x16(wasm_v128_load32_splat(in));
    const v128_t first = wasm_i32x4_shuffle(x, x, 0, 0, 0, 0), second = wasm_i32x4_shuffle(x, x, 1, 1, 1, 1);
    for (int i = 0; i < 4; i++) {
      acc.v[i] = wasm_i32x4_add(acc.v[i], wasm_i32x4_dot_i16x8(w.v[2 * i], first));
      acc.v[i] = wasm_i32x4_add(acc.v[i], wasm_i32x4_dot_i16x8(w.v[2 * i + 1], second));
    }
    return acc;
  }
  template <class F>
  [[gnu::always_inline]] static Nibbles nibbles(const uint8_t* at, F f) {
    Nibbles w;
    for (int i = 0; i < 4; i++) {
#if defined(__wasm_relaxed_simd__)
      w.v[i] = f(wasm_v128_load(at + 16 * i));
#else
      widen(f(wasm_v128_load(at + 16 * i)), w.v + 2 * i);
#endif
    }
    return w;
  }
  static Nibbles lowNibbles(const uint8_t* at) { return nibbles(at, [](v128_t x) { return wasm_v128_and(x, wasm_i8x16_splat(15)); }); }
  static Nibbles highNibbles(const uint8_t* at) { return nibbles(at, [](v128_t x) { return wasm_u8x16_shr(x, 4); }); }
  [[gnu::always_inline]] static Sums dot4(Sums acc, const Nibbles& w, const int8_t* in) {
#if defined(__wasm_relaxed_simd__)
    const v128_t x = wasm_v128_load32_splat(in);
    for (int i = 0; i < 4; i++) acc.v[i] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w.v[i], acc.v[i]);
    return acc;
#else
    return dot8(acc, w, in);
#endif
  }
  static constexpr int32_t cachedShift = shift8;
  static Weights cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(Sums acc, const Weights& bytes, const int8_t* in) { return dot8(acc, bytes, in); }
  // Of rounding.h.
  typedef double Doubles __attribute__((vector_size(16)));
  typedef int32_t Integers __attribute__((vector_size(8)));
  static Doubles widened(const float* from) { return Doubles{double(from[0]), double(from[1])}; }
  static Doubles cut(Doubles x) { return Doubles(wasm_f64x2_floor(v128_t(x))); }
  static Integers integers(Doubles x) { return Integers{int32_t(x[0]), int32_t(x[1])}; }

  // WebAssembly has no word for it.
  static void prefetch(const uint8_t*) {}
};

}  // namespace

extern const Kernels simd128Kernels = kernelsOf<Simd128>("simd128");

}  // namespace parscale
