#include "graph-kernels.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "../instruction-sets.h"
#if defined(__x86_64__)
#include "../instruction-sets-x64.h"
#endif

namespace parscale {

extern const GraphKernels portableGraphKernels;
#if defined(__x86_64__)
extern const GraphKernels amxGraphKernels, avx512GraphKernels, avx2GraphKernels;

namespace {

// Tiles of bfloat16, conversions to it, and a system that keeps both parts of their state.
bool hasFloatTiles() {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1 || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return false;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low >> 17 & 3) == 3 && tilesAllowed();
}

}  // namespace
#endif

const GraphKernels& graphKernels(bool exact) {
  (void)exact;
#if defined(__x86_64__)
  // The step's list is of the same registers, best first.
  const char* best = availableKernels().front()->name;
  if (std::strstr(best, "avx512") || std::strstr(best, "amx")) {
    static const bool tiles = hasFloatTiles();
    return tiles && !exact ? amxGraphKernels : avx512GraphKernels;
  }
  if (std::strstr(best, "avx")) return avx2GraphKernels;
#endif
  return portableGraphKernels;
}

}  // namespace parscale
