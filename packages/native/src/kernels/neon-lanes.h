// 16 floats in four NEON registers, for the files whose dot products differ.
#pragma once
#include <arm_neon.h>

#include "templates.h"

namespace parscale {
namespace {

struct NeonLanes {
  static constexpr int tileRows = 4;
  static constexpr int totalRows = 2;
  static constexpr int accumulators = 6;

  struct Floats { float32x4_t v[4]; };
  struct Sums { int32x4_t v[4]; };

  template <class F>
  static Floats each(F f) { return {{f(0), f(1), f(2), f(3)}}; }

  static Floats set(float x) { return each([&](int) { return vdupq_n_f32(x); }); }
  static Floats load(const float* from) { return each([&](int i) { return vld1q_f32(from + 4 * i); }); }
  static Floats loadBf16(const uint16_t* from) {
    return each([&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from + 4 * i), 16)); });
  }
  static Floats loadHalf(const uint16_t* from) {
    return each([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + 4 * i))); });
  }
  static void store(float* to, const Floats& x) {
    for (int i = 0; i < 4; i++) vst1q_f32(to + 4 * i, x.v[i]);
  }
  static void storeHalf(uint16_t* to, const Floats& x) {
    for (int i = 0; i < 4; i++) vst1_u16(to + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
  }

  static Floats add(Floats a, Floats b) { return each([&](int i) { return vaddq_f32(a.v[i], b.v[i]); }); }
  static Floats sub(Floats a, Floats b) { return each([&](int i) { return vsubq_f32(a.v[i], b.v[i]); }); }
  static Floats mul(Floats a, Floats b) { return each([&](int i) { return vmulq_f32(a.v[i], b.v[i]); }); }
  static Floats div(Floats a, Floats b) { return each([&](int i) { return vdivq_f32(a.v[i], b.v[i]); }); }
  static Floats fma(Floats a, Floats b, Floats c) { return each([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); }); }
  static Floats abs(Floats a) { return each([&](int i) { return vabsq_f32(a.v[i]); }); }
  // Of NaN and a number the second operand, as x86 has it.
  static Floats max(Floats a, Floats b) { return each([&](int i) { return vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); }); }
  static Floats min(Floats a, Floats b) { return each([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); }); }
  static Floats round(Floats a) { return each([&](int i) { return vrndnq_f32(a.v[i]); }); }
  static Floats powerOfTwo(Floats n) {
    return each([&](int i) {
      return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23));
    });
  }
  // Of rounding.h.
  typedef float64x2_t Doubles;
  typedef int32x2_t Integers;
  static Doubles widened(const float* from) { return vcvt_f64_f32(vld1_f32(from)); }
  static Doubles cut(Doubles x) { return vrndq_f64(x); }
  static Integers integers(Doubles x) { return vmovn_s64(vcvtq_s64_f64(x)); }

  static float squareRoot(float x) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0); }

  static float sum(const Floats& x) {
    const float32x4_t four = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float largest(const Floats& x) {
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x.v[0], x.v[2]), vmaxnmq_f32(x.v[1], x.v[3])));
  }
  static Sums roundToBytes(const Floats& x, int8_t* to) {
    const Sums y{{vcvtnq_s32_f32(x.v[0]), vcvtnq_s32_f32(x.v[1]), vcvtnq_s32_f32(x.v[2]), vcvtnq_s32_f32(x.v[3])}};
    const int16x8_t low = vcombine_s16(vmovn_s32(y.v[0]), vmovn_s32(y.v[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(y.v[2]), vmovn_s32(y.v[3]));
    vst1q_s8(to, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    return y;
  }

  static Sums start(int32_t x) { return {{vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}}; }
  static Sums times(const Sums& a, int32_t factor) {
    return {{vmulq_n_s32(a.v[0], factor), vmulq_n_s32(a.v[1], factor), vmulq_n_s32(a.v[2], factor), vmulq_n_s32(a.v[3], factor)}};
  }
  static Sums addIntegers(const Sums& a, const Sums& b) {
    return {{vaddq_s32(a.v[0], b.v[0]), vaddq_s32(a.v[1], b.v[1]), vaddq_s32(a.v[2], b.v[2]), vaddq_s32(a.v[3], b.v[3])}};
  }
  static int32_t sumOfIntegers(const Sums& x) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])));
  }
  static Floats toFloats(const Sums& x) { return each([&](int i) { return vcvtq_f32_s32(x.v[i]); }); }
  static int8x16_t fourTimes(const int8_t* in) {
    int32_t four;
    std::memcpy(&four, in, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  [[gnu::always_inline]] static void prefetch(const uint8_t* at) { __builtin_prefetch(at); }
};

}  // namespace
}  // namespace parscale
