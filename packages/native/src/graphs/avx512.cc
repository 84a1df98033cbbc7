#define LANES 16
#define TILE_ROWS 8
#define KERNELS Avx512Graph
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels avx512GraphKernels = Avx512Graph::table("avx512");
}
