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
  static Floats loadInt8(const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
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
  [[gnu::always_inline]] static void prefetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }
};

}  // namespace

extern const Kernels avx512VnniKernels = kernelsOf<Avx512Vnni>("avx512vnni");

}  // namespace parscale
