// What streams own of a model beside their prefixes, on top of weights that all rows share:
//
//   y = s * (W x + b) + B A x + c   with x = r * input,   g * norm(x),   and s * E[token] + c
//
// (rank-one scales r and s, lora B A, biases c, gains g; core's model/streams.ts). Everything is kept once for each adapter; rows say
// which is theirs. Number 0 changes nothing, and costs nothing.
#pragma once
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels/kernels.h"

namespace parscale {

// In the order of core's linearRoles and linearInputs.
enum class LinearRole : uint32_t { q, k, v, o, gate, up, down };
enum class InputRole : uint32_t { qkv, o, gateUp, down };
constexpr size_t linearRoles = 7, inputRoles = 4;

// The same amount of bytes for each adapter, or nothing.
class Bank {
 public:
  // Throws std::bad_alloc.
  uint8_t* room(size_t adapters, size_t bytesEach);
  bool empty() const { return each_ == 0; }
  uint8_t* bytes(size_t adapter) { return at_ + adapter * each_; }
  const uint8_t* bytes(size_t adapter) const { return at_ + adapter * each_; }
  // From byte `from` of each adapter's on.
  PanelAdapters::Numbers numbers(size_t from) const { return empty() ? PanelAdapters::Numbers{} : PanelAdapters::Numbers{at_ + from, each_}; }
  const float* floats(size_t adapter) const { return empty() ? nullptr : reinterpret_cast<const float*>(bytes(adapter)); }

 private:
  Buffer<uint8_t> memory_;
  uint8_t* at_ = nullptr;
  size_t each_ = 0;
};

// B [outputs, rank] of each adapter, as panels [rank][16].
struct UpBank {
  Format format = Format::f32;
  Bank panels;
};

// A of each adapter: those of all linear layers that read the same, one below the other.
struct DownBank {
  RankMatrix shape;
  Bank matrices;
  RankMatrix of(size_t adapter) const {
    RankMatrix a = shape;
    a.data = matrices.bytes(adapter);
    return a;
  }
};

struct LinearAdapters {
  Bank scale, bias;  // [outputs]
  UpBank up;
  // Where the results of its A begin among those of the same input.
  size_t low = 0;
};

struct InputAdapters {
  Bank scale;  // [inputs]
  DownBank down;
};

struct LayerAdapters {
  InputAdapters inputs[inputRoles];
  LinearAdapters linears[linearRoles];
  Bank inputNorm, postNorm;

  const InputAdapters& of(InputRole role) const { return inputs[size_t(role)]; }
  const LinearAdapters& of(LinearRole role) const { return linears[size_t(role)]; }
};

// What a linear layer has to know of its rows' adapters.
struct RowAdapters {
  const uint32_t* numbers = nullptr;  // [rows]
  // What A gave, [rows][stride].
  float* low = nullptr;
  size_t stride = 0, rank = 0;
};

struct Adapters {
  // How many there are with number 0; 0: the model has none.
  size_t count = 0;
  size_t rank = 0;
  std::vector<LayerAdapters> layers;
  Bank embeddingScale, embeddingBias, finalNorm;

  // The most results of A that an input has.
  size_t lowStride() const { return 3 * rank; }
};

// The tensors of a layer, as `writeAdapters` knows them: some of each input, each linear layer, and the norms; then the model's own.
enum class AdapterKind : uint32_t { inputScale, outputScale, bias, loraA, loraB, inputNorm, postNorm, finalNorm, embeddingScale, embeddingBias };
constexpr AdapterKind lastAdapterKind = AdapterKind::embeddingBias;

// x *= scale, where there is one.
inline void scaleBy(const float* scale, float* x, size_t n) {
  if (scale)
    for (size_t i = 0; i < n; i++) x[i] *= scale[i];
}

// `values`: [adapters][outputs] of a vector.
void fillVectors(Bank&, size_t adapters, const std::vector<float>& values);
// `values`: [adapters][outputs][rank].
void fillUp(UpBank&, size_t adapters, size_t outputs, size_t rank, const std::vector<float>& values);
// `values`: [adapters][rank][inputs], which become rows `first` and on of the bank's matrices, whose shape is known.
void fillDown(DownBank&, size_t adapters, size_t first, size_t rank, const std::vector<float>& values);

}  // namespace parscale
