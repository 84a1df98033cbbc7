#define LANES 4
#define TILE_ROWS 4
#define KERNELS PortableGraph
#include "vector-kernels.h"

namespace parscale {
extern const GraphKernels portableGraphKernels = PortableGraph::table("portable");
}
