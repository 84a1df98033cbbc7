// What products of one panel cost, weights from memory: gigabytes a second of processor time, one thread, for rows and distances asked ahead.
//   node scripts/build.mjs --program products && build/products/products [int8|int4|bf16|f32] [block] [set] [MB: 256]
// Cases go in turns, and processor time leaves out what others take of the core; the memory is still shared with them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "../src/buffer.h"
#include "../src/instruction-sets.h"

using namespace parscale;

namespace {

double processorTime() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

struct Case {
  size_t rows, distance;
  std::vector<double> seconds;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string format = argc > 1 ? argv[1] : "int8";
  const size_t blockSize = argc > 2 ? size_t(atoi(argv[2])) : 128;
  const Kernels* kernels = availableKernels().front();
  for (const Kernels* k : availableKernels())
    if (argc > 3 && std::string(k->name) == argv[3]) kernels = k;
  const size_t megabytes = argc > 4 ? size_t(atoi(argv[4])) : 256;
  Matrix w;
  w.format = format == "int4" ? Format::int4 : format == "bf16" ? Format::bf16 : format == "f32" ? Format::f32 : Format::int8;
  w.inputs = 1536;
  if (w.quantised()) w.blockSize = uint32_t(blockSize);
  w.outputs = uint32_t((megabytes << 20) / w.panelBytes() * lanes);
  const size_t bytes = w.panels() * w.panelBytes();
  Buffer<uint8_t> memory;
  uint8_t* data = memory.room(bytes);
  uint32_t seed = 1;
  for (size_t i = 0; i < bytes / 4; i++) {
    seed = seed * 1664525 + 1013904223;
    // As floats: 1.0 to 1.99, whatever their width.
    const uint32_t number = w.quantised() ? seed : (seed & 0x007f007f) | 0x3f803f80;
    std::memcpy(data + i * 4, &number, 4);
  }
  for (size_t at = 0; w.quantised() && at < bytes; at += w.recordBytes())
    for (size_t lane = 0; lane < lanes; lane++) reinterpret_cast<float*>(data + at)[lane] = 1e-3f;
  w.data = data;

  std::vector<Case> cases;
  for (const size_t rows : {1, 2, 3, 4, 8, 16})
    for (const size_t distance : {0, 1024, 2048, 4096, 8192, 16384})
      if (rows <= kernels->tileRows) cases.push_back({rows, distance, {}});
  Tile tile;
  std::vector<int8_t> integers(w.inputs * 16, 3);
  std::vector<float> scales(w.inputs / (w.quantised() ? w.blockSize : w.inputs) * 16, 1), floats(w.inputs * 16, 0.5f);
  std::vector<int32_t> sums(scales.size(), 100);
  tile.integers = integers.data();
  tile.scales = scales.data();
  tile.sums = sums.data();
  tile.floats = floats.data();
  alignas(64) float out[16 * lanes];
  float all = 0;
  for (int turn = 0; turn < 7; turn++) {
    for (Case& c : cases) {
      tile.rows = tile.room = c.rows;
      const double from = processorTime();
      for (size_t panel = 0; panel < w.panels(); panel++) {
        kernels->product(w, panel, tile, c.distance, out);
        all += out[0];
      }
      c.seconds.push_back(processorTime() - from);
    }
  }
  std::printf("%s, blocks of %zu, %s, %.0f MB (%g)\nrows  distance  GB/s best  median  GOP/s best\n", format.c_str(), blockSize, kernels->name, double(bytes) / 1e6, double(all));
  for (Case& c : cases) {
    std::sort(c.seconds.begin(), c.seconds.end());
    const double ops = 2.0 * double(w.panels() * lanes) * double(w.inputs) * double(c.rows);
    std::printf("%4zu  %8zu  %9.1f  %6.1f  %10.0f\n", c.rows, c.distance, double(bytes) / 1e9 / c.seconds[0], double(bytes) / 1e9 / c.seconds[c.seconds.size() / 2], ops / 1e9 / c.seconds[0]);
  }
}
