// NEON with the dot product of signed bytes (Armv8.2; Apple M1, Cortex-A76, Graviton 2).
#include "neon-lanes.h"

namespace parscale {
namespace {

struct NeonDot : NeonLanes {
  static constexpr int32_t shift8 = 128;
  static constexpr size_t narrowInputs = 0;

  struct Weights { int8x16_t v[4]; };

  template <class F>
  static Weights made(const uint8_t* at, F f) {
    return {{f(vld1q_u8(at)), f(vld1q_u8(at + 16)), f(vld1q_u8(at + 32)), f(vld1q_u8(at + 48))}};
  }
  static Weights weights8(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(128))); });
  }
  static Weights lowNibbles(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return vreinterpretq_s8_u8(vandq_u8(x, vdupq_n_u8(15))); });
  }
  static Weights highNibbles(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return vreinterpretq_s8_u8(vshrq_n_u8(x, 4)); });
  }
  static Sums dot8(Sums acc, const Weights& w, const int8_t* in) {
    const int8x16_t x = fourTimes(in);
    for (int i = 0; i < 4; i++) acc.v[i] = vdotq_s32(acc.v[i], w.v[i], x);
    return acc;
  }
  static Sums dot4(const Sums& acc, const Weights& w, const int8_t* in) { return dot8(acc, w, in); }
  static constexpr int32_t cachedShift = shift8;
  static Weights cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(const Sums& acc, const Weights& bytes, const int8_t* in) { return dot8(acc, bytes, in); }
};

}  // namespace

extern const Kernels neonDotKernels = kernelsOf<NeonDot>("neon-dot");

}  // namespace parscale
