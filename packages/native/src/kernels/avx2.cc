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
  static Sums dot4(Sums acc, const Nibbles& w, const int8_t* in) {
    const __m256i x = fourTimes(in);
    return {added(acc.low, w.low, x), added(acc.high, w.high, x)};
  }

  // Inputs of at most 64 need no signs taken apart: 2 * 255 * 64 fits.
  static constexpr int32_t cachedShift = 0;
  static Nibbles cached8(const uint8_t* at) { return {bytes(at), bytes(at + 32)}; }
  static Sums dotCached(Sums acc, const Nibbles& bytes, const int8_t* in) { return dot4(acc, bytes, in); }

  static __m256i shifted(__m256i x) { return _mm256_xor_si256(x, _mm256_set1_epi8(char(128))); }
  static __m256i added(__m256i acc, __m256i unsignedBytes, __m256i signedBytes) {
    const __m256i pairs = _mm256_maddubs_epi16(unsignedBytes, signedBytes);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace

extern const Kernels avx2Kernels = kernelsOf<Avx2>("avx2");

}  // namespace parscale
