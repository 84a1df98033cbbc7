#include "probe.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace parscale {
namespace {

// Of the 1.6B model's most layers, and the largest block that all kernels take.
constexpr uint32_t probeInputs = 1536, probeBlock = 128;

}  // namespace

Probe::Probe(const Kernels& kernels, size_t threads, Format format, size_t bytes) : pool_(threads), linear_(kernels, pool_), in_(probeInputs, 0.5f) {
  matrix_.format = format;
  matrix_.inputs = probeInputs;
  if (matrix_.quantised()) matrix_.blockSize = probeBlock;
  matrix_.outputs = uint32_t(std::max<size_t>(1, bytes / matrix_.panelBytes()) * lanes);
  uint8_t* data = weights_.room(this->bytes());
  uint32_t seed = 1;
  for (size_t at = 0; at < this->bytes(); at += sizeof seed) {
    seed = seed * 1664525 + 1013904223;
    // As floats: 1 to 2.
    const uint32_t word = matrix_.quantised() ? seed : (seed >> 9) | 0x3f800000;
    std::memcpy(data + at, &word, sizeof word);
  }
  const float scale = 1e-3f;
  for (size_t record = 0; matrix_.quantised() && record < this->bytes(); record += matrix_.recordBytes())
    for (size_t lane = 0; lane < lanes; lane++) std::memcpy(data + record + lane * sizeof scale, &scale, sizeof scale);
  matrix_.data = data;
}

double Probe::run(size_t rows) {
  float* out = out_.room(rows * matrix_.outputs);
  const ThreadPool::Awake awake(pool_);
  const auto start = std::chrono::steady_clock::now();
  linear_.run(rows, {{&matrix_, nullptr, out, matrix_.outputs}}, [&](size_t, Prefetch&) { return in_.data(); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace parscale
