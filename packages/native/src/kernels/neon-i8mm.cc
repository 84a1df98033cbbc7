// NEON with i8mm (Armv8.6; Apple M2, Cortex-X2, Graviton 3): dot products of unsigned weights with signed inputs.
#include "neon-lanes.h"

namespace parscale {
namespace {

struct NeonI8mm : NeonLanes {
  static constexpr int32_t shift8 = 0;
  static constexpr size_t narrowInputs = 0;

  struct Weights { uint8x16_t v[4]; };

  template <class F>
  static Weights made(const uint8_t* at, F f) {
    return {{f(vld1q_u8(at)), f(vld1q_u8(at + 16)), f(vld1q_u8(at + 32)), f(vld1q_u8(at + 48))}};
  }
  static Weights weights8(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return x; });
  }
  static Weights lowNibbles(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return vandq_u8(x, vdupq_n_u8(15)); });
  }
  static Weights highNibbles(const uint8_t* at) {
    return made(at, [](uint8x16_t x) { return vshrq_n_u8(x, 4); });
  }
  static Sums dot8(Sums acc, const Weights& w, const int8_t* in) {
    const int8x16_t x = fourTimes(in);
    for (int i = 0; i < 4; i++) acc.v[i] = vusdotq_s32(acc.v[i], w.v[i], x);
    return acc;
  }
  static Sums dot4(const Sums& acc, const Weights& w, const int8_t* in) { return dot8(acc, w, in); }
  static constexpr int32_t cachedShift = shift8;
  static Weights cached8(const uint8_t* at) { return weights8(at); }
  static Sums dotCached(const Sums& acc, const Weights& bytes, const int8_t* in) { return dot8(acc, bytes, in); }
};

}  // namespace

extern const Kernels neonI8mmKernels = kernelsOf<NeonI8mm>("neon-i8mm");

}  // namespace parscale
