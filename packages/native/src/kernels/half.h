// Half-precision floats by integer arithmetic, for CPUs without an instruction; rounds to nearest even as those do.
#pragma once
#include <cstdint>
#include <cstring>

namespace parscale {
namespace {

inline float floatFromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline uint32_t bitsOfFloat(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float floatFromHalf(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16, rest = half & 0x7fff;
  if (rest >= 0x7c00) return floatFromBits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  if (rest >= 0x0400) return floatFromBits(sign | ((rest << 13) + ((127 - 15) << 23)));
  const float small = float(rest) * floatFromBits((127 - 24) << 23);  // subnormal: rest * 2^-24, exact
  return floatFromBits(sign | bitsOfFloat(small));
}

inline uint16_t halfFromFloat(float x) {
  const uint32_t bits = bitsOfFloat(x), rest = bits & 0x7fffffff;
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  if (rest > 0x7f800000) return sign | 0x7e00 | uint16_t(rest >> 13 & 0x3ff);
  if (rest >= 0x477ff000) return sign | 0x7c00;  // rounds to more than the largest half
  if (rest >= 0x38800000) return sign | uint16_t((rest + 0xfff + (rest >> 13 & 1) - ((127 - 15) << 23)) >> 13);
  // Subnormal: adding a float whose last bit weighs 2^-24 rounds to it.
  const float anchored = floatFromBits(rest) + floatFromBits((127 - 24 + 23) << 23);
  return sign | uint16_t(bitsOfFloat(anchored) - ((127 - 24 + 23) << 23));
}

}  // namespace
}  // namespace parscale
