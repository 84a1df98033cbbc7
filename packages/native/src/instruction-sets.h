// Which kernels this CPU can run.
#pragma once
#include <vector>

#include "kernels/kernels.h"

namespace parscale {

// Best first; the portable ones stand last and are always there.
std::vector<const Kernels*> availableKernels();

// The name of better ones, which the CPU could run but the system refuses; or null.
const char* refusedKernels();

}  // namespace parscale
