#include "stored-rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "kernels/half.h"

namespace parscale {
namespace {

template <class T>
T load(const uint8_t* at) {
  T x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

float half(const uint8_t* at) { return floatFromHalf(load<uint16_t>(at)); }

// One row's part of a record: its scale, its minimum, and four bytes of integers in each row of 64.
struct Record {
  uint8_t* at;
  uint8_t* integers;

  void scale(float x) { std::memcpy(at, &x, sizeof x); }
  void minimum(float x) { std::memcpy(at + 64, &x, sizeof x); }
  void word(size_t i, uint32_t x) { std::memcpy(integers + 64 * i, &x, sizeof x); }
};

// Nibbles that stand for eight neighbouring inputs: the low ones of two words, or the high ones.
constexpr uint32_t lowHalf = 0x0f0f0f0f, highHalf = 0xf0f0f0f0;
uint32_t lowNibbles(uint32_t first, uint32_t second) { return (first & lowHalf) | (second & lowHalf) << 4; }
uint32_t highNibbles(uint32_t first, uint32_t second) { return (first >> 4 & lowHalf) | (second & highHalf); }

// Four nibbles in order to the low halves of four bytes.
uint32_t spread(uint32_t nibbles) {
  const uint32_t pairs = (nibbles | nibbles << 8) & 0x00ff00ff;
  return (pairs | pairs << 4) & lowHalf;
}

// Blocks as ggml-common.h has them.

// Scale f16, minimum f16 where there is one, 16 bytes of nibbles: the low ones are inputs 0 to 15.
template <bool minima>
bool nibbleBlock(const uint8_t* block, Record record) {
  const float scale = half(block), minimum = minima ? half(block + 2) : 0;
  const uint8_t* q = block + (minima ? 4 : 2);
  record.scale(scale);
  if (minima) record.minimum(minimum);
  for (size_t i = 0; i < 2; i++) {
    const uint32_t first = load<uint32_t>(q + 8 * i), second = load<uint32_t>(q + 8 * i + 4);
    record.word(i, lowNibbles(first, second));
    record.word(2 + i, highNibbles(first, second));
  }
  return std::isfinite(scale) && std::isfinite(minimum);
}

// Inputs as bytes.
void words(Record record, const uint8_t* q, size_t n) {
  for (size_t i = 0; i < n / 4; i++) record.word(i, load<uint32_t>(q + 4 * i));
}

// As above, with a fifth bit of all 32 inputs in front of the nibbles. Without a minimum 16 is zero, which is 128 here.
template <bool minima>
bool fiveBitBlock(const uint8_t* block, Record record) {
  const float scale = half(block), minimum = minima ? half(block + 2) : 0;
  const uint8_t* high = block + (minima ? 4 : 2);
  const uint32_t fifth = load<uint32_t>(high);
  const uint8_t* nibbles = high + 4;
  constexpr uint8_t shift = minima ? 0 : 128 - 16;
  uint8_t q[32];
  for (size_t i = 0; i < 16; i++) {
    q[i] = uint8_t(((nibbles[i] & 15) | (fifth >> i & 1) << 4) + shift);
    q[16 + i] = uint8_t((nibbles[i] >> 4 | (fifth >> (16 + i) & 1) << 4) + shift);
  }
  record.scale(scale);
  if (minima) record.minimum(minimum);
  words(record, q, 32);
  return std::isfinite(scale) && std::isfinite(minimum);
}

// Scale f16, 32 signed bytes.
bool byteBlock(const uint8_t* block, Record record) {
  const float scale = half(block);
  record.scale(scale);
  for (size_t i = 0; i < 8; i++) record.word(i, load<uint32_t>(block + 2 + 4 * i) ^ 0x80808080);
  return std::isfinite(scale);
}

// Scale and minimum f16, then 12 bytes: 6 bits each of scale and minimum of 8 groups, the upper groups' spread over two places.
struct GroupScales {
  float scale, minimum;
};
GroupScales groupScales(const uint8_t* block, size_t group) {
  const uint8_t* s = block + 4;
  const bool lower = group < 4;
  const int scale = lower ? s[group] & 63 : (s[group + 4] & 15) | (s[group - 4] >> 2 & 48);
  const int minimum = lower ? s[group + 4] & 63 : s[group + 4] >> 4 | (s[group] >> 2 & 48);
  return {half(block) * float(scale), -half(block + 2) * float(minimum)};
}

// The low nibbles of 32 bytes are one group, the high ones the next.
bool fourBitGroup(const uint8_t* block, size_t group, Record record) {
  const GroupScales s = groupScales(block, group);
  const uint8_t* q = block + 16 + group / 2 * 32;
  record.scale(s.scale);
  record.minimum(s.minimum);
  for (size_t i = 0; i < 4; i++) {
    const uint32_t first = load<uint32_t>(q + 8 * i), second = load<uint32_t>(q + 8 * i + 4);
    record.word(i, group % 2 == 0 ? lowNibbles(first, second) : highNibbles(first, second));
  }
  return std::isfinite(s.scale) && std::isfinite(s.minimum);
}

// 32 bytes of fifth bits in front of the nibbles: bit g of byte i is that of input i of group g.
bool fiveBitGroup(const uint8_t* block, size_t group, Record record) {
  const GroupScales s = groupScales(block, group);
  const uint8_t *high = block + 16, *nibbles = block + 48 + group / 2 * 32;
  uint8_t q[32];
  for (size_t i = 0; i < 32; i++) q[i] = uint8_t((nibbles[i] >> (group % 2 * 4) & 15) | (high[i] >> group & 1) << 4);
  record.scale(s.scale);
  record.minimum(s.minimum);
  words(record, q, 32);
  return std::isfinite(s.scale) && std::isfinite(s.minimum);
}

// 128 bytes of nibbles, 64 of two upper bits, 16 signed scales, scale f16. Both halves of 128 inputs repeat one pattern; 32 is zero,
// which is 128 here.
bool sixBitGroup(const uint8_t* block, size_t group, Record record) {
  const float scale = half(block + 208) * float(int8_t(block[192 + group]));
  uint8_t q[16];
  for (size_t i = 0; i < 16; i++) {
    const size_t input = group * 16 + i, part = input / 128, within = input % 128;
    const int low = block[part * 64 + within % 64] >> (within / 64 * 4) & 15, high = block[128 + part * 32 + within % 32] >> (within / 32 * 2) & 3;
    q[i] = uint8_t((low | high << 4) + 128 - 32);
  }
  record.scale(scale);
  words(record, q, 16);
  return std::isfinite(scale);
}

bool fillRecord(StoredType type, const uint8_t* row, size_t number, Record record) {
  switch (type) {
    case StoredType::q4_0: return nibbleBlock<false>(row + 18 * number, record);
    case StoredType::q4_1: return nibbleBlock<true>(row + 20 * number, record);
    case StoredType::q5_0: return fiveBitBlock<false>(row + 22 * number, record);
    case StoredType::q5_1: return fiveBitBlock<true>(row + 24 * number, record);
    case StoredType::q8_0: return byteBlock(row + 34 * number, record);
    case StoredType::q4_K: return fourBitGroup(row + number / 8 * 144, number % 8, record);
    case StoredType::q5_K: return fiveBitGroup(row + number / 8 * 176, number % 8, record);
    case StoredType::q6_K: return sixBitGroup(row + number / 16 * 210, number % 16, record);
    default: return false;
  }
}

// [rows][K] to [K][16], in squares that stay in the first cache level.
template <class T>
void transpose(const uint8_t* const* rows, size_t count, size_t inputs, T* out) {
  for (size_t from = 0; from < inputs; from += lanes) {
    const size_t n = inputs - from < lanes ? inputs - from : lanes;
    T square[lanes][lanes] = {};
    for (size_t row = 0; row < count; row++) std::memcpy(square[row], rows[row] + from * sizeof(T), n * sizeof(T));
    for (size_t k = 0; k < n; k++, out += lanes)
      for (size_t row = 0; row < lanes; row++) out[row] = square[row][k];
  }
}

#if defined(__SSE2__)
__m128i spread(__m128i nibbles) {
  const __m128i pairs = _mm_and_si128(_mm_or_si128(nibbles, _mm_slli_epi32(nibbles, 8)), _mm_set1_epi32(0x00ff00ff));
  return _mm_and_si128(_mm_or_si128(pairs, _mm_slli_epi32(pairs, 4)), _mm_set1_epi32(lowHalf));
}

// The integers of 16 rows' block, whose words become lines of 64 bytes: in squares of four by four, as one by one takes three times as long.
// Returns how many of a row's bytes are done, all but less than 16.
template <bool bytes>
size_t fillLines(const uint8_t* const* rows, size_t from, size_t blockBytes, uint8_t* integers) {
  const __m128i half = _mm_set1_epi32(0xffff);
  size_t at = 0;
  for (; at + 16 <= blockBytes; at += 16) {
    for (size_t first = 0; first < lanes; first += 4) {
      __m128i r[4];
      for (size_t i = 0; i < 4; i++) {
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[first + i] + from + at));
        r[i] = bytes ? bits : _mm_or_si128(spread(_mm_and_si128(bits, half)), _mm_slli_epi32(spread(_mm_srli_epi32(bits, 16)), 4));
      }
      const __m128i low01 = _mm_unpacklo_epi32(r[0], r[1]), high01 = _mm_unpackhi_epi32(r[0], r[1]);
      const __m128i low23 = _mm_unpacklo_epi32(r[2], r[3]), high23 = _mm_unpackhi_epi32(r[2], r[3]);
      const __m128i words[4] = {_mm_unpacklo_epi64(low01, low23), _mm_unpackhi_epi64(low01, low23), _mm_unpacklo_epi64(high01, high23),
                                _mm_unpackhi_epi64(high01, high23)};
      for (size_t i = 0; i < 4; i++) _mm_storeu_si128(reinterpret_cast<__m128i*>(integers + 16 * at + 64 * i + 4 * first), words[i]);
    }
  }
  return at;
}
#endif

}  // namespace

StoredFormat storedFormat(uint32_t type) {
  switch (StoredType(type)) {
    case StoredType::f32: return {1, 4, Format::f32, 0, false};
    case StoredType::f16: return {1, 2, Format::f32, 0, false};
    case StoredType::bf16: return {1, 2, Format::bf16, 0, false};
    case StoredType::q4_0: return {32, 18, Format::int4, 32, false};
    case StoredType::q4_1: return {32, 20, Format::int4, 32, true};
    case StoredType::q5_0: return {32, 22, Format::int8, 32, false};
    case StoredType::q5_1: return {32, 24, Format::int8, 32, true};
    case StoredType::q8_0: return {32, 34, Format::int8, 32, false};
    case StoredType::q4_K: return {256, 144, Format::int4, 32, true};
    case StoredType::q5_K: return {256, 176, Format::int8, 32, true};
    case StoredType::q6_K: return {256, 210, Format::int8, 16, false};
    case StoredType::integers4: return {2, 1, Format::int4, 0, false};
    case StoredType::integers8: return {1, 1, Format::int8, 0, false};
  }
  return {};
}

bool fillPanel(const Matrix& m, StoredType type, const uint8_t* const* rows, size_t count, uint8_t* panel) {
  if (type == StoredType::bf16) {
    transpose(rows, count, m.inputs, reinterpret_cast<uint16_t*>(panel));
    return true;
  }
  if (type == StoredType::f32) {
    transpose(rows, count, m.inputs, reinterpret_cast<float*>(panel));
    return true;
  }
  if (count < lanes) std::memset(panel, 0, m.panelBytes());
  if (type == StoredType::f16) {
    for (size_t row = 0; row < count; row++)
      for (size_t k = 0; k < m.inputs; k++) reinterpret_cast<float*>(panel)[k * lanes + row] = half(rows[row] + 2 * k);
    return true;
  }
  bool finite = true;
  for (size_t block = 0; block < m.inputs / m.blockSize; block++, panel += m.recordBytes()) {
    for (size_t row = 0; row < count; row++) {
      const Record record{panel + 4 * row, panel + (m.hasMinima ? 128 : 64) + 4 * row};
      finite = fillRecord(type, rows[row], block, record) && finite;
    }
  }
  return finite;
}

void fillPanel(const Matrix& m, const uint8_t* const* rows, const float* const* scales, const float* const* zeros, size_t count, uint8_t* panel) {
  if (count < lanes) std::memset(panel, 0, m.panelBytes());
  const bool bytes = m.format == Format::int8;
  const size_t blockBytes = m.blockSize / (bytes ? 1 : 2);
  for (size_t block = 0; block < m.inputs / m.blockSize; block++, panel += m.recordBytes()) {
    uint8_t* integers = panel + (m.hasMinima ? 128 : 64);
    for (size_t row = 0; row < count; row++) {
      Record record{panel + 4 * row, integers + 4 * row};
      const float scale = scales[row][block];
      record.scale(scale);
      if (m.hasMinima) record.minimum(-zeros[row][block] * scale);
    }
    const size_t from = block * blockBytes;
    size_t done = 0;
#if defined(__SSE2__)
    if (count == lanes) done = bytes ? fillLines<true>(rows, from, blockBytes, integers) : fillLines<false>(rows, from, blockBytes, integers);
#endif
    for (size_t row = 0; row < count; row++) {
      Record record{panel + 4 * row, integers + 4 * row};
      for (size_t i = done / 4; i < blockBytes / 4; i++) {
        const uint32_t bits = load<uint32_t>(rows[row] + from + 4 * i);
        record.word(i, bytes ? bits : spread(bits & 0xffff) | spread(bits >> 16) << 4);
      }
    }
  }
}

void widen(StoredType type, const uint8_t* const* rows, size_t count, size_t inputs, uint8_t* panel, float* out) {
  const StoredFormat stored = storedFormat(uint32_t(type));
  if (type == StoredType::f32) return transpose(rows, count, inputs, out);
  if (type == StoredType::f16 || type == StoredType::bf16) {
    // In squares that stay in the first cache level.
    for (size_t from = 0; from < inputs; from += lanes, out += lanes * lanes) {
      const size_t n = std::min(lanes, inputs - from);
      if (count < lanes) std::fill_n(out, n * lanes, 0.0f);
      for (size_t row = 0; row < count; row++)
        for (size_t k = 0; k < n; k++) out[k * lanes + row] = widened(type, rows[row] + 2 * (from + k));
    }
    return;
  }
  Matrix m;
  m.format = stored.format;
  m.blockSize = stored.blockSize;
  m.hasMinima = stored.hasMinima;
  m.inputs = uint32_t(inputs);
  m.outputs = lanes;
  // Scales that are not finite give floats that are not.
  fillPanel(m, type, rows, count, panel);
  const int zero = m.hasMinima ? 0 : m.format == Format::int8 ? 128 : 8;
  for (size_t block = 0; block < inputs / m.blockSize; block++, panel += m.recordBytes()) {
    const float* scales = reinterpret_cast<const float*>(panel);
    const uint8_t* integers = panel + (m.hasMinima ? 128 : 64);
    for (size_t k = 0; k < m.blockSize; k++, out += lanes) {
      for (size_t row = 0; row < lanes; row++) {
        const int q = m.format == Format::int8 ? integers[k / 4 * 64 + row * 4 + k % 4] : integers[k / 8 * 64 + row * 4 + k % 4] >> (k % 8 / 4 * 4) & 15;
        // Missing rows would be -0.
        out[row] = row < count ? scales[row] * float(q - zero) : 0;
        if (m.hasMinima) out[row] += scales[lanes + row];
      }
    }
  }
}

float widened(StoredType type, const uint8_t* from) {
  if (type == StoredType::f32) return load<float>(from);
  if (type == StoredType::f16) return half(from);
  return floatFromBits(uint32_t(load<uint16_t>(from)) << 16);
}

}  // namespace parscale
