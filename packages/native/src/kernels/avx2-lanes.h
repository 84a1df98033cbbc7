// 16 floats in two AVX registers (AVX2, FMA and F16C: Intel since Haswell, AMD since Zen), for the files whose dot products differ.
#pragma once
#include <immintrin.h>

#include "templates.h"

namespace parscale {
namespace {

struct Avx2Lanes {
  static constexpr int tileRows = 4;
  static constexpr int totalRows = 1;
  static constexpr int accumulators = 6;

  struct Floats { __m256 low, high; };
  struct Sums { __m256i low, high; };

  static Floats set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
  static Floats loadBf16(const uint16_t* from) { return {wide(from), wide(from + 8)}; }
  static Floats loadHalf(const uint16_t* from) { return {_mm256_cvtph_ps(eight(from)), _mm256_cvtph_ps(eight(from + 8))}; }
  static void store(float* to, Floats x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
  }
  static void storeHalf(uint16_t* to, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 8), _mm256_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT));
  }

  static Floats add(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static Floats sub(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static Floats mul(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static Floats div(Floats a, Floats b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  static Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Floats abs(Floats a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
  }
  static Floats max(Floats a, Floats b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static Floats min(Floats a, Floats b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
  static Floats round(Floats a) {
    constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, nearest), _mm256_round_ps(a.high, nearest)};
  }
  static Floats powerOfTwo(Floats n) { return {power(n.low), power(n.high)}; }
  // Of rounding.h.
  using Doubles = __m256d;
  typedef int32_t Integers __attribute__((vector_size(16)));
  static Doubles widened(const float* from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
  static Doubles cut(Doubles x) { return _mm256_round_pd(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static Integers integers(Doubles x) { return Integers(_mm256_cvttpd_epi32(x)); }

  static float squareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static float sum(Floats x) {
    const __m256 both = _mm256_add_ps(x.low, x.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Floats x) {
    const __m256 both = _mm256_max_ps(x.low, x.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Sums roundToBytes(Floats x, int8_t* to) {
    const __m256i low = _mm256_cvtps_epi32(x.low), high = _mm256_cvtps_epi32(x.high);
    // Packing works within halves of 128 bits: the middle quarters are swapped afterwards.
    const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0b11011000);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1)));
    return {low, high};
  }

  static Sums start(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static Sums times(Sums a, int32_t factor) {
    const __m256i f = _mm256_set1_epi32(factor);
    return {_mm256_mullo_epi32(a.low, f), _mm256_mullo_epi32(a.high, f)};
  }
  static Sums addIntegers(Sums a, Sums b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
  static int32_t sumOfIntegers(Sums x) {
    const __m256i eight = _mm256_add_epi32(x.low, x.high);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  static Floats toFloats(Sums x) { return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
  static __m256i bytes(const uint8_t* at) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(at)); }
  static __m256i fourTimes(const int8_t* in) {
    int32_t four;
    std::memcpy(&four, in, sizeof four);
    return _mm256_set1_epi32(four);
  }
  static __m256i low4(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static __m256i high4(__m256i x) { return low4(_mm256_srli_epi16(x, 4)); }
  [[gnu::always_inline]] static void prefetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }

  static __m128i eight(const void* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  static __m256 wide(const uint16_t* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight(from)), 16));
  }
  static __m256 power(__m256 n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  }
};

}  // namespace
}  // namespace parscale
