#include "linear.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace parscale {
namespace {

// Rows that are multiplied with one panel after the other: their inputs should stay in a core's second cache level.
constexpr size_t inputBytesAtOnce = 256 * 1024;
// Products of many rows say themselves how many bytes; and they unpack the weights for all of these.
constexpr size_t manyRowsAtOnce = 520;

// Weights that a thread takes at once: long runs read memory best, short ones leave nobody waiting at the end.
constexpr size_t weightBytesAtOnce = 128 * 1024;

// How far ahead products prefetch weights, found by test/products.cc: with less, eight rows wait for memory; with more, the beginning of a
// thread's range does. One and two rows of large weights are over sooner.
constexpr size_t prefetchDistance = 8192, shortPrefetchDistance = 4096, shortPrefetchRows = 2;

size_t prefetchDistanceOf(const Matrix& m, size_t rows) {
  const bool large = m.format == Format::int8 || m.format == Format::f32;
  return large && rows <= shortPrefetchRows ? shortPrefetchDistance : prefetchDistance;
}

// Weights that a thread prefetches for before a product begins: they should stay in a core's own caches until then.
constexpr size_t prefetchBytes = 1024 * 1024;

size_t blockSizeOf(const Matrix& m) { return m.quantised() ? m.blockSize : 0; }

}  // namespace

bool LinearLayers::takesMany(size_t rows, const Matrix& m) const {
  const ManyRows* many = kernels_.manyRows;
  return many && rows >= many->rows && m.quantised() && many->takes(m.blockSize);
}

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
    byBlockSize_[i].blockSize = blockSize;
    byBlockSize_[i].many = takesMany(rows, *layer.weights);
    prepareTiles(byBlockSize_[i], rows);
  }
  const ManyRows* many = kernels_.manyRows;
  if (!many || rows < many->rows) return;
  const size_t room = std::min(cut(rows, layers).rowsAtOnce, rows + many->tileRows) * lanes * many->panelsAtOnce;
  for (Buffer<float>& results : results_) results.room(room);
}

void LinearLayers::prepareTiles(Inputs& in, size_t rows) {
  const bool floats = in.blockSize == 0;
  const size_t step = in.many ? kernels_.manyRows->roomStep : 1, blocks = floats ? 0 : inputs_ / in.blockSize;
  const size_t room = (rows + step - 1) / step * step;
  in.tileRows = in.many ? kernels_.manyRows->tileRows : kernels_.tileRows;
  in.tiles.clear();
  Tile all;
  if (floats) {
    all.floats = in.floats.room(rows * inputs_);
  } else {
    all.integers = in.integers.room(room * inputs_);
    all.scales = in.scales.room(room * blocks);
    all.sums = in.sums.room(room * blocks);
  }
  for (size_t row = 0; row < rows; row += in.tileRows) {
    Tile tile;
    tile.rows = std::min(in.tileRows, rows - row);
    tile.room = std::min(in.tileRows, room - row);
    if (in.many) tile.width = kernels_.manyRows->width;
    if (floats) {
      tile.floats = all.floats + row * inputs_;
    } else {
      tile.integers = all.integers + row * inputs_;
      tile.scales = all.scales + row * blocks;
      tile.sums = all.sums + row * blocks;
    }
    for (size_t at = 0; at < blocks * tile.room; at += tile.room) {
      std::fill(tile.scales + at + tile.rows, tile.scales + at + tile.room, 0.0f);
      std::fill(tile.sums + at + tile.rows, tile.sums + at + tile.room, 0);
    }
    in.tiles.push_back(tile);
  }
}

void LinearLayers::fill(size_t row, const float* x, Prefetch& prefetch) {
  for (size_t i = 0; i < blockSizes_; i++) {
    const Inputs& in = byBlockSize_[i];
    kernels_.fillTile(x, inputs_, in.blockSize, in.tiles[row / in.tileRows], row % in.tileRows, prefetch);
  }
}

LinearLayers::Cut LinearLayers::cut(size_t rows, const std::vector<Linear>& layers) const {
  Cut c;
  c.panels = 0;
  bool many = false, few = false;
  for (const Linear& layer : layers) {
    c.panels += layer.weights->panels();
    (takesMany(rows, *layer.weights) ? many : few) = true;
  }
  // Blocks of rows begin where tiles do, of either kind where there are both.
  const size_t unit = std::lcm(many ? kernels_.manyRows->tileRows : 1, few ? kernels_.tileRows : 1);
  const size_t bytes = many ? kernels_.manyRows->inputBytesAtOnce : inputBytesAtOnce, most = many ? manyRowsAtOnce : SIZE_MAX;
  const size_t atMost = std::max<size_t>(1, std::min(bytes / layers[0].weights->inputs, most) / unit) * unit;
  c.rowBlocks = (rows + atMost - 1) / atMost;
  // Alike, so that no few rows have all the weights for themselves.
  c.rowsAtOnce = ((rows + c.rowBlocks - 1) / c.rowBlocks + unit - 1) / unit * unit;
  const size_t longest = std::min(weightBytesAtOnce / layers[0].weights->panelBytes(), c.panels / (pool_.threads() * 4));
  const size_t step = many ? kernels_.manyRows->panelsAtOnce : 1;
  c.run = std::max<size_t>(1, longest / step) * step;
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
  pool_.run(c.items(), [&](size_t item, size_t thread) {
    const size_t from = item / c.runs * c.rowsAtOnce, to = std::min(rows, from + c.rowsAtOnce);
    size_t panel = item % c.runs * c.run;
    const size_t end = std::min(c.panels, panel + c.run);
    while (panel < end) {
      const Place at = position(layers, panel);
      size_t i = 0;
      while (byBlockSize_[i].blockSize != blockSizeOf(*at.layer->weights)) i++;
      const Inputs& inputs = byBlockSize_[i];
      if (!inputs.many) {
        multiplyPanel(*at.layer, at.panel, inputs, from, to);
        panel++;
        continue;
      }
      const size_t panels = std::min({kernels_.manyRows->panelsAtOnce, at.layer->weights->panels() - at.panel, end - panel});
      multiplyMany(*at.layer, at.panel, panels, inputs, from, to, results_[thread].room(0));
      panel += panels;
    }
  });
  expected_ = nullptr;
}

// y [rows][16] = s * y + B (A x) + c, of one panel's outputs
void LinearLayers::adaptOutputs(const Linear& layer, size_t panel, size_t row, size_t rows, float* y) const {
  if (!layer.adapters) return;
  const LinearAdapters& of = *layer.adapters;
  PanelAdapters at;
  at.scale = of.scale.numbers(panel * lanes * sizeof(float));
  at.bias = of.bias.numbers(panel * lanes * sizeof(float));
  at.up = of.up.panels.numbers(panel * lanes * adapters_.rank * (of.up.format == Format::f32 ? 4 : 2));
  if (!at.scale.at && !at.bias.at && !at.up.at) return;
  at.numbers = adapters_.numbers + row;
  at.format = of.up.format;
  at.rank = adapters_.rank;
  at.low = adapters_.low + row * adapters_.stride + of.low;
  at.lowStride = adapters_.stride;
  kernels_.adaptPanel(at, rows, y);
}

void LinearLayers::multiplyPanel(const Linear& layer, size_t panel, const Inputs& inputs, size_t from, size_t to) const {
  for (size_t row = from; row < to; row += inputs.tileRows) {
    const Tile& tile = inputs.tiles[row / inputs.tileRows];
    alignas(64) float out[16 * lanes];
    // Only the first tile meets weights that are not in a cache yet.
    kernels_.product(*layer.weights, panel, tile, row == from ? prefetchDistanceOf(*layer.weights, tile.rows) : 0, out);
    put(layer, panel, row, tile.rows, out);
  }
}

void LinearLayers::multiplyMany(const Linear& layer, size_t panel, size_t panels, const Inputs& inputs, size_t from, size_t to,
                                float* room) const {
  const Tile* tiles = &inputs.tiles[from / inputs.tileRows];
  const size_t count = (to - from + inputs.tileRows - 1) / inputs.tileRows;
  const Matrix& m = *layer.weights;
  Destination results{layer.out + from * layer.stride + panel * lanes, layer.stride, false, layer.add, nullptr};
  // A product takes the next panel along, which may be another thread's.
  const bool all = panels == kernels_.manyRows->panelsAtOnce || panel + panels == m.panels();
  results.put = all && !layer.adapters && (panel + panels) * lanes <= m.outputs;
  if (layer.bias) results.bias = layer.bias + panel * lanes;
  if (kernels_.manyRows->product(m, panel, tiles, count, true, results, room)) return;
  const size_t rows = to - from, step = ((count - 1) * inputs.tileRows + tiles[count - 1].room) * lanes;
  if (layer.adapters) {
    for (size_t p = 0; p < panels; p++) put(layer, panel + p, from, rows, room + p * step);
    return;
  }
  for (size_t row = 0; row < rows; row++)
    for (size_t p = 0; p < panels; p++) put(layer, panel + p, from + row, 1, room + p * step + row * lanes);
}

void LinearLayers::put(const Linear& layer, size_t panel, size_t row, size_t rows, float* y) const {
  const size_t from = panel * lanes, n = std::min<size_t>(lanes, layer.weights->outputs - from);
  if (layer.bias)
    for (size_t m = 0; m < rows; m++)
      for (size_t i = 0; i < n; i++) y[m * lanes + i] += layer.bias[from + i];
  if (layer.adapters) adaptOutputs(layer, panel, row, rows, y);
  float* to = layer.out + row * layer.stride + from;
  for (; rows > 0; rows--, y += lanes, to += layer.stride) {
    if (layer.add)
      for (size_t i = 0; i < n; i++) to[i] += y[i];
    else if (n == lanes)
      std::memcpy(to, y, lanes * sizeof(float));
    else
      std::memcpy(to, y, n * sizeof(float));
  }
}

}  // namespace parscale
