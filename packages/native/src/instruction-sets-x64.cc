#include <cpuid.h>

#include <cstdint>

#include "instruction-sets.h"

namespace parscale {

extern const Kernels portableKernels, avx2Kernels, avxVnniKernels, avx512VnniKernels;

namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned part = 0) {
  Registers r;
  __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool all(unsigned value, std::initializer_list<int> bits) {
  for (const int bit : bits)
    if (!(value >> bit & 1)) return false;
  return true;
}

// The register sets that the operating system keeps for each thread (XCR0).
unsigned keptRegisters() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

// Bits as in Intel's manual, volume 2A, CPUID.
std::vector<const Kernels*> availableKernels() {
  std::vector<const Kernels*> found;
  const Registers one = cpuid(1), seven = cpuid(7), sevenOne = cpuid(7, 1);
  const bool keepsAvx = all(one.c, {27}) && all(keptRegisters(), {1, 2});
  const bool keepsAvx512 = keepsAvx && all(keptRegisters(), {5, 6, 7});
  const bool avx2 = keepsAvx && all(one.c, {12, 28, 29}) && all(seven.b, {5});  // fma, avx, f16c; avx2
  if (avx2 && keepsAvx512 && all(seven.b, {16, 17, 30, 31}) && all(seven.c, {11}))  // f, dq, bw, vl; vnni
    found.push_back(&avx512VnniKernels);
  if (avx2 && all(sevenOne.a, {4})) found.push_back(&avxVnniKernels);
  if (avx2) found.push_back(&avx2Kernels);
  found.push_back(&portableKernels);
  return found;
}

}  // namespace parscale
