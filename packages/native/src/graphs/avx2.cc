#define LANES 8
#define TILE_ROWS 6
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels avx2GraphKernels = table("avx2");
}
