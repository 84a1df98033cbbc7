#define LANES 16
#define TILE_ROWS 8
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels avx512GraphKernels = table("avx512");
}
