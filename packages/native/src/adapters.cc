#include "adapters.h"

#include <algorithm>
#include <cstring>

namespace parscale {

uint8_t* Bank::room(size_t adapters, size_t bytesEach) {
  each_ = (bytesEach + 63) / 64 * 64;
  at_ = memory_.room(adapters * each_);
  return at_;
}

namespace {

// Numbers behind an adapter's last one are read, though never used.
void zeros(Bank& bank, size_t adapters, size_t bytesEach) { std::memset(bank.room(adapters, bytesEach), 0, adapters * ((bytesEach + 63) / 64 * 64)); }

// To the nearest; ties to even.
uint16_t bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void write(uint8_t* to, Format format, size_t at, float x) {
  if (format == Format::f32) reinterpret_cast<float*>(to)[at] = x;
  else reinterpret_cast<uint16_t*>(to)[at] = bfloat16(x);
}

}  // namespace

void fillVectors(Bank& bank, size_t adapters, const std::vector<float>& values) {
  const size_t n = values.size() / adapters;
  zeros(bank, adapters, n * sizeof(float));
  for (size_t a = 0; a < adapters; a++) std::memcpy(bank.bytes(a), &values[a * n], n * sizeof(float));
}

void fillUp(UpBank& bank, size_t adapters, size_t outputs, size_t rank, const std::vector<float>& values) {
  zeros(bank.panels, adapters, (outputs + lanes - 1) / lanes * lanes * rank * (bank.format == Format::f32 ? 4 : 2));
  for (size_t a = 0; a < adapters; a++)
    for (size_t n = 0; n < outputs; n++)
      for (size_t r = 0; r < rank; r++)
        write(bank.panels.bytes(a), bank.format, (n / lanes * rank + r) * lanes + n % lanes, values[(a * outputs + n) * rank + r]);
}

void fillDown(DownBank& bank, size_t adapters, size_t first, size_t rank, const std::vector<float>& values) {
  const RankMatrix& shape = bank.shape;
  const size_t inputs = shape.inputs, blocks = (inputs + lanes - 1) / lanes;
  if (bank.matrices.empty()) zeros(bank.matrices, adapters, shape.bytes());
  for (size_t a = 0; a < adapters; a++) {
    for (size_t r = 0; r < rank; r++) {
      const size_t row = first + r, group = row / RankMatrix::together * RankMatrix::together;
      const size_t together = std::min(RankMatrix::together, shape.outputs - group);
      for (size_t k = 0; k < inputs; k++)
        write(bank.matrices.bytes(a), shape.format, (group * blocks + k / lanes * together + row - group) * lanes + k % lanes, values[(a * rank + r) * inputs + k]);
    }
  }
}

}  // namespace parscale
