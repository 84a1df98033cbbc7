#include "instruction-sets-x64.h"

#include <cpuid.h>

#include <initializer_list>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace parscale {

extern const Kernels portableKernels, avx2Kernels, avxVnniKernels, avx512VnniKernels;
extern const ManyRows amxManyRows;

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

unsigned keptRegisters() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Bit 27 of leaf 1: there is XCR0 to ask.
bool hasXcr0(unsigned leaf1c) { return all(leaf1c, {27}); }

// As AVX-512 with VNNI, but for many rows.
const Kernels& amxKernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512VnniKernels;
    k.name = "amx";
    k.manyRows = &amxManyRows;
    return k;
  }();
  return kernels;
}

CpuWords thisCpu() {
  const Registers one = cpuid(1), seven = cpuid(7), sevenPart1 = seven.a >= 1 ? cpuid(7, 1) : Registers();
  return {one.c, seven.b, seven.c, seven.d, sevenPart1.a, hasXcr0(one.c) ? keptRegisters() : 0};
}

}  // namespace

bool hasTiles(const CpuWords& cpu) {
  return all(cpu.leaf7d, {24, 25}) && all(cpu.leaf7c, {8}) && all(cpu.keptRegisters, {17, 18});  // tiles, of int8; gfni
}

bool tilesAllowed() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int requestPermission = 0x1023, tileData = 18;
  static const bool allowed = syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
  return allowed;
#else
  return false;
#endif
}

std::vector<const Kernels*> kernelsFor(const CpuWords& cpu, bool tiles) {
  const bool keepsAvx = hasXcr0(cpu.leaf1c) && all(cpu.keptRegisters, {1, 2});
  const bool keepsAvx512 = keepsAvx && all(cpu.keptRegisters, {5, 6, 7});
  const bool avx2 = keepsAvx && all(cpu.leaf1c, {12, 28, 29}) && all(cpu.leaf7b, {5});  // fma, avx, f16c; avx2
  std::vector<const Kernels*> found;
  const bool avx512Vnni = avx2 && keepsAvx512 && all(cpu.leaf7b, {16, 17, 30, 31}) && all(cpu.leaf7c, {11});  // f, dq, bw, vl; vnni
  if (avx512Vnni && tiles && hasTiles(cpu)) found.push_back(&amxKernels());
  if (avx512Vnni) found.push_back(&avx512VnniKernels);
  if (avx2 && all(cpu.leaf7part1a, {4})) found.push_back(&avxVnniKernels);
  if (avx2) found.push_back(&avx2Kernels);
  found.push_back(&portableKernels);
  return found;
}

std::vector<const Kernels*> availableKernels() {
  const CpuWords cpu = thisCpu();
  return kernelsFor(cpu, hasTiles(cpu) && tilesAllowed());
}

const char* refusedKernels() {
  const CpuWords cpu = thisCpu();
  return hasTiles(cpu) && !tilesAllowed() ? amxKernels().name : nullptr;
}

}  // namespace parscale
