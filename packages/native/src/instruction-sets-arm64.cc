#if defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#endif

#include "instruction-sets.h"

namespace parscale {

extern const Kernels portableKernels, neonDotKernels, neonI8mmKernels;

namespace {

#if defined(__APPLE__)
bool has(const char* feature) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool hasDot() { return has("hw.optional.arm.FEAT_DotProd"); }
bool hasI8mm() { return has("hw.optional.arm.FEAT_I8MM"); }
#else
// Bits as in Linux's arch/arm64/include/uapi/asm/hwcap.h.
bool hasDot() { return getauxval(AT_HWCAP) >> 20 & 1; }
bool hasI8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }
#endif

}  // namespace

std::vector<const Kernels*> availableKernels() {
  std::vector<const Kernels*> found;
  if (hasI8mm()) found.push_back(&neonI8mmKernels);
  if (hasDot()) found.push_back(&neonDotKernels);
  found.push_back(&portableKernels);
  return found;
}

const char* refusedKernels() { return nullptr; }

}  // namespace parscale
