#define LANES 4
#define TILE_ROWS 4
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels portableGraphKernels = table("portable");
}
