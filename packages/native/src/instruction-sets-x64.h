// The CPU features that choose among x64's instruction sets, as data, so that tests can try other CPUs.
#pragma once
#include "instruction-sets.h"

namespace parscale {

// Words of CPUID by leaf and register (Intel's manual, volume 2A), and which registers the system keeps for threads (XCR0).
struct CpuWords {
  unsigned leaf1c = 0, leaf7b = 0, leaf7c = 0, leaf7d = 0, leaf7part1a = 0, keptRegisters = 0;
};

// Whether the CPU and the system know tiles of integers.
bool hasTiles(const CpuWords&);
// Whether the system lets this process use tiles: Linux keeps them only for a process that has asked. Asks once.
bool tilesAllowed();

// What such a CPU can run, best first. `tiles`: where it has them, this process may use them.
std::vector<const Kernels*> kernelsFor(const CpuWords&, bool tiles);

}  // namespace parscale
