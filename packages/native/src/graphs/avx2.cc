#define LANES 8
#define TILE_ROWS 6
#define KERNELS Avx2Graph
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels avx2GraphKernels = Avx2Graph::table("avx2");
}
