#include "adapters.h"

#include <cstring>

namespace parscale {

uint8_t* Bank::room(size_t adapters, size_t bytesEach) {
  each_ = (bytesEach + 63) / 64 * 64;
  at_ = memory_.room(adapters * each_);
  return at_;
}

void fillVectors(Bank& bank, size_t adapters, const std::vector<float>& values) {
  const size_t n = values.size() / adapters;
  bank.room(adapters, n * sizeof(float));
  for (size_t a = 0; a < adapters; a++) std::memcpy(bank.bytes(a), &values[a * n], n * sizeof(float));
}

namespace {

// To the nearest; ties to even.
uint16_t bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

void fillRows(MatrixBank& bank, size_t adapters, size_t first, size_t rows, const std::vector<float>& values) {
  const size_t inputs = bank.shape.inputs, bytes = bank.shape.panels() * bank.shape.panelBytes();
  if (bank.panels.empty()) std::memset(bank.panels.room(adapters, bytes), 0, adapters * ((bytes + 63) / 64 * 64));
  for (size_t a = 0; a < adapters; a++) {
    uint8_t* to = bank.panels.bytes(a);
    for (size_t row = 0; row < rows; row++) {
      const float* from = &values[(a * rows + row) * inputs];
      const size_t at = first + row, lane = at % lanes;
      uint8_t* panel = to + at / lanes * bank.shape.panelBytes();
      for (size_t k = 0; k < inputs; k++) {
        if (bank.shape.format == Format::f32) reinterpret_cast<float*>(panel)[k * lanes + lane] = from[k];
        else reinterpret_cast<uint16_t*>(panel)[k * lanes + lane] = bfloat16(from[k]);
      }
    }
  }
}

}  // namespace parscale
