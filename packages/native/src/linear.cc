#include "linear.h"

#include <algorithm>
#include <cstring>

namespace parscale {
namespace {

// Rows that are multiplied with one panel after the other: their inputs should stay in a core's second cache level.
constexpr size_t inputBytesAtOnce = 256 * 1024;

// Weights that a thread takes at once: long runs read memory best, short ones leave nobody waiting at the end.
constexpr size_t weightBytesAtOnce = 128 * 1024;

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

void LinearLayers::fill(size_t row, const float* x) {
  for (size_t i = 0; i < blockSizes_; i++) {
    const Inputs& in = byBlockSize_[i];
    kernels_.fillTile(x, inputs_, in.blockSize, in.tiles[row / kernels_.tileRows], row % kernels_.tileRows);
  }
}

void LinearLayers::multiply(size_t rows, const std::vector<Linear>& layers) {
  size_t panels = 0;
  for (const Linear& layer : layers) panels += layer.weights->panels();
  const size_t tiles = (rows + kernels_.tileRows - 1) / kernels_.tileRows;
  const size_t tilesAtOnce = std::max<size_t>(1, inputBytesAtOnce / (kernels_.tileRows * inputs_));
  const size_t rowBlocks = (tiles + tilesAtOnce - 1) / tilesAtOnce;
  const size_t run = std::max<size_t>(1, std::min(weightBytesAtOnce / layers[0].weights->panelBytes(), panels / (pool_.threads() * 4)));
  const size_t runs = (panels + run - 1) / run;
  pool_.run(rowBlocks * runs, [&](size_t item, size_t) {
    const size_t firstTile = item / runs * tilesAtOnce, lastTile = std::min(tiles, firstTile + tilesAtOnce);
    size_t panel = item % runs * run;
    for (const size_t end = std::min(panels, panel + run); panel < end; panel++) {
      size_t within = panel;
      const Linear* layer = layers.data();
      while (within >= layer->weights->panels()) within -= (layer++)->weights->panels();
      size_t i = 0;
      while (byBlockSize_[i].blockSize != blockSizeOf(*layer->weights)) i++;
      multiplyPanel(*layer, within, byBlockSize_[i], firstTile, lastTile);
    }
  });
}

void LinearLayers::multiplyPanel(const Linear& layer, size_t panel, const Inputs& inputs, size_t firstTile,
                                 size_t lastTile) const {
  const size_t from = panel * lanes, n = std::min<size_t>(lanes, layer.weights->outputs - from);
  for (size_t t = firstTile; t < lastTile; t++) {
    alignas(64) float out[16 * lanes];
    kernels_.product(*layer.weights, panel, inputs.tiles[t], out);
    for (size_t m = 0; m < inputs.tiles[t].rows; m++) {
      float* to = layer.out + (t * kernels_.tileRows + m) * layer.stride + from;
      float* y = out + m * lanes;
      if (layer.bias)
        for (size_t i = 0; i < n; i++) y[i] += layer.bias[from + i];
      if (layer.add)
        for (size_t i = 0; i < n; i++) to[i] += y[i];
      else
        std::memcpy(to, y, n * sizeof(float));
    }
  }
}

}  // namespace parscale
