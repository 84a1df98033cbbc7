// AVX-VNNI (Intel since Alder Lake): AVX2 whose product of bytes adds fours in 32 bits.
#include "avx2-lanes.h"

namespace parscale {
namespace {

struct AvxVnni : Avx2Lanes {
  static constexpr int32_t shift8 = 0;
  static constexpr size_t narrowInputs = 0;

  struct Weights { __m256i low, high; };

  static Weights weights8(const uint8_t* at) { return {bytes(at), bytes(at + 32)}; }
  static Weights lowNibbles(const uint8_t* at) { return {low4(bytes(at)), low4(bytes(at + 32))}; }
  static Weights highNibbles(const uint8_t* at) { return {high4(bytes(at)), high4(bytes(at + 32))}; }
  static Sums dot8(Sums acc, const Weights& w, const int8_t* in) {
    const __m256i x = fourTimes(in);
    return {_mm256_dpbusd_avx_epi32(acc.low, w.low, x), _mm256_dpbusd_avx_epi32(acc.high, w.high, x)};
  }
  static Sums dot4(Sums acc, const Weights& w, const int8_t* in) { return dot8(acc, w, in); }
  static constexpr int32_t cachedShift = shift8;
  static Weights cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(Sums acc, const Weights& bytes, const int8_t* in) { return dot8(acc, bytes, in); }
};

}  // namespace

extern const Kernels avxVnniKernels = kernelsOf<AvxVnni>("avxvnni");

}  // namespace parscale
