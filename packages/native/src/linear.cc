#include "linear.h"

#include <algorithm>
#include <cstring>

namespace parscale {
namespace {

// Rows that are multiplied with one panel after the other: their inputs should stay in a core's second cache level.
constexpr size_t inputBytesAtOnce = 256 * 1024;

// Weights that a thread takes at once: long runs read memory best, short ones leave nobody waiting at the end.
constexpr size_t weightBytesAtOnce = 128 * 1024;

// How far ahead products prefetch weights: with less, eight rows wait for memory; with more, the beginning of a thread's range does.
constexpr size_t prefetchDistance = 8192;
// Fewer rows are over so soon that the CPU's own prefetching is better left alone.
constexpr size_t prefetchRows = 3;

// Weights that a thread prefetches for before a product begins: they should stay in a core's own caches until then.
constexpr size_t prefetchBytes = 1024 * 1024;

size_t blockSizeOf(const Matrix& m) { return m.quantised() ? m.blockSize : 0; }

}  // namespace

void LinearLayers::prepare(size_t rows, const std::vector<Linear>& layers) {
  inputs_ = layers[0].weights->inputs;
  blockSizes_ = 0;
  for (const Linear& layer : layers) {
    const size_t blockSize = blockSizeOf(*layer.weights);
    size_t i = 0;
    while (i < blockSizes_ && byBlockSize_[i].blockSize != blockSize) i++;
    if (i < blockSizes_) continue;
    if (i == byBlockSize_.size()) byBlockSize_.emplace_back();
    blockSizes_++;
    Inputs& in = byBlockSize_[i];
    in.blockSize = blockSize;
    in.tiles.clear();
    float* floats = blockSize == 0 ? in.floats.room(rows * inputs_) : nullptr;
    int8_t* integers = blockSize == 0 ? nullptr : in.integers.room(rows * inputs_);
    float* scales = blockSize == 0 ? nullptr : in.scales.room(rows * inputs_ / blockSize);
    int32_t* sums = blockSize == 0 ? nullptr : in.sums.room(rows * inputs_ / blockSize);
    for (size_t row = 0; row < rows; row += kernels_.tileRows) {
      Tile tile;
      tile.rows = std::min(kernels_.tileRows, rows - row);
      if (blockSize == 0) {
        tile.floats = floats + row * inputs_;
      } else {
        tile.integers = integers + row * inputs_;
        tile.scales = scales + row * (inputs_ / blockSize);
        tile.sums = sums + row * (inputs_ / blockSize);
      }
      in.tiles.push_back(tile);
    }
  }
}

void LinearLayers::fill(size_t row, const float* x, Prefetch& prefetch) {
  for (size_t i = 0; i < blockSizes_; i++) {
    const Inputs& in = byBlockSize_[i];
    kernels_.fillTile(x, inputs_, in.blockSize, in.tiles[row / kernels_.tileRows], row % kernels_.tileRows, prefetch);
  }
}

LinearLayers::Cut LinearLayers::cut(size_t rows, const std::vector<Linear>& layers) const {
  Cut c;
  c.panels = 0;
  for (const Linear& layer : layers) c.panels += layer.weights->panels();
  c.tiles = (rows + kernels_.tileRows - 1) / kernels_.tileRows;
  c.tilesAtOnce = std::max<size_t>(1, inputBytesAtOnce / (kernels_.tileRows * layers[0].weights->inputs));
  c.rowBlocks = (c.tiles + c.tilesAtOnce - 1) / c.tilesAtOnce;
  const size_t longest = std::min(weightBytesAtOnce / layers[0].weights->panelBytes(), c.panels / (pool_.threads() * 4));
  c.run = std::max<size_t>(1, longest);
  c.runs = (c.panels + c.run - 1) / c.run;
  return c;
}

LinearLayers::Place LinearLayers::position(const std::vector<Linear>& layers, size_t panel) {
  const Linear* layer = layers.data();
  while (panel >= layer->weights->panels()) panel -= (layer++)->weights->panels();
  return {layer, panel};
}

void LinearLayers::expect(size_t rows, const std::vector<Linear>& layers) {
  const Cut c = cut(rows, layers);
  expected_ = layers[0].weights;
  for (size_t thread = 0; thread < pool_.threads(); thread++) {
    const size_t item = pool_.firstItem(c.items(), thread), end = pool_.firstItem(c.items(), thread + 1);
    Prefetch& prefetch = prefetches_[thread].weights;
    prefetch = Prefetch();
    if (item == end) continue;
    const Place first = position(layers, item % c.runs * c.run);
    const Matrix& m = *first.layer->weights;
    const size_t panels = std::min((end - item) * c.run, m.panels() - first.panel);
    prefetch.at = m.data + first.panel * m.panelBytes();
    prefetch.end = prefetch.at + std::min(panels * m.panelBytes(), prefetchBytes);
  }
}

void LinearLayers::multiply(size_t rows, const std::vector<Linear>& layers) {
  const Cut c = cut(rows, layers);
  pool_.run(c.items(), [&](size_t item, size_t) {
    const size_t firstTile = item / c.runs * c.tilesAtOnce, lastTile = std::min(c.tiles, firstTile + c.tilesAtOnce);
    size_t panel = item % c.runs * c.run;
    for (const size_t end = std::min(c.panels, panel + c.run); panel < end; panel++) {
      const Place at = position(layers, panel);
      size_t i = 0;
      while (byBlockSize_[i].blockSize != blockSizeOf(*at.layer->weights)) i++;
      multiplyPanel(*at.layer, at.panel, byBlockSize_[i], firstTile, lastTile);
    }
  });
  expected_ = nullptr;
}

// y = s * y + B (A x) + c, of one panel's outputs
void LinearLayers::adaptOutputs(const LinearAdapters& adapters, size_t row, size_t panel, size_t n, float* y) const {
  const size_t number = adapters_.numbers[row], from = panel * lanes;
  if (number == 0) return;
  if (const float* scale = adapters.scale.floats(number)) scaleBy(scale + from, y, n);
  if (!adapters.up.panels.empty()) {
    Tile low;
    low.rows = 1;
    low.floats = adapters_.low + row * adapters_.stride + adapters.low;
    alignas(64) float added[lanes];
    kernels_.product(adapters.up.of(number), panel, low, 0, added);
    for (size_t i = 0; i < n; i++) y[i] += added[i];
  }
  if (const float* bias = adapters.bias.floats(number))
    for (size_t i = 0; i < n; i++) y[i] += bias[from + i];
}

void LinearLayers::multiplyPanel(const Linear& layer, size_t panel, const Inputs& inputs, size_t firstTile,
                                 size_t lastTile) const {
  const size_t from = panel * lanes, n = std::min<size_t>(lanes, layer.weights->outputs - from);
  for (size_t t = firstTile; t < lastTile; t++) {
    alignas(64) float out[16 * lanes];
    const bool prefetches = t == firstTile && inputs.tiles[t].rows >= prefetchRows;
    kernels_.product(*layer.weights, panel, inputs.tiles[t], prefetches ? prefetchDistance : 0, out);
    for (size_t m = 0; m < inputs.tiles[t].rows; m++) {
      float* to = layer.out + (t * kernels_.tileRows + m) * layer.stride + from;
      float* y = out + m * lanes;
      if (layer.bias)
        for (size_t i = 0; i < n; i++) y[i] += layer.bias[from + i];
      if (layer.adapters) adaptOutputs(*layer.adapters, t * kernels_.tileRows + m, panel, n, y);
      if (layer.add)
        for (size_t i = 0; i < n; i++) to[i] += y[i];
      else if (n == lanes)
        std::memcpy(to, y, lanes * sizeof(float));
      else
        std::memcpy(to, y, n * sizeof(float));
    }
  }
}

}  // namespace parscale
