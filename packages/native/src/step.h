// One decoder step: rows of new tokens in, hidden states out. Knows nothing of streams, sampling or text.
//
// What a row gets does not depend on who shares the step, on the chunks in which its tokens came, on threads or on how the cache
// grew: every sum has a fixed order of its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters.h"
#include "cache.h"
#include "linear.h"
#include "packed-file.h"
#include "thread-pool.h"

namespace parscale {

struct StepRow {
  int cacheRow = 0;
  // Positions in front of the sequence that every token sees, and what is added to their scores.
  size_t prefix = 0;
  float prefixScore = 0;
  // Tokens in the cache, behind the prefix.
  size_t length = 0;
  // New tokens.
  size_t count = 0;
  // What its stream owns; 0: nothing.
  uint32_t adapter = 0;
};

struct StepInput {
  std::vector<StepRow> rows;
  // Of all rows' tokens, row after row: [tokens], [tokens, headDim / 2] each, and whose hidden states are wanted [tokens].
  std::vector<int32_t> ids;
  std::vector<float> cosines, sines;
  std::vector<uint8_t> wanted;
};

class Model {
 public:
  Model(const std::string& path, const Kernels& kernels, size_t threads, CacheType cacheType)
      : Model(openPackedModel(path), kernels, threads, cacheType) {}
  Model(PackedModel weights, const Kernels& kernels, size_t threads, CacheType cacheType);

  const PackedModel& weights() const { return weights_; }
  const Kernels& kernels() const { return kernels_; }
  size_t threads() const { return pool_.threads(); }
  ThreadPool& pool() { return pool_; }
  Cache& cache() { return cache_; }
  const Adapters& adapters() const { return adapters_; }

  // Makes room for adapters, of which number 0 is none. Throws std::bad_alloc.
  void openAdapters(size_t count, size_t rank);
  // How many numbers one adapter's tensor has; 0: there is no such tensor.
  size_t adapterSize(AdapterKind, size_t part) const;
  // `values`: [adapters][adapterSize]. `part`: which input or linear layer.
  void writeAdapters(AdapterKind, size_t layer, size_t part, const std::vector<float>& values);

  // hidden [wanted tokens, H] after the final norm; finite [rows], 0 where a row's keys or values are not.
  // The input must be valid (binding.cc checks it). Throws std::bad_alloc, or a Failure after `cancel`; the rows' new tokens count
  // as not there then.
  void step(const StepInput& input, float* hidden, uint8_t* finite);
  // hidden [n, H] to logits [n, vocabulary], and with `powers` [n, 2] what Kernels::sumPowers makes of each row.
  void logits(const float* hidden, size_t n, float* logits, double* powers = nullptr);
  // streams [n, P, H] to hidden [n, H] and each stream's weight [n, P].
  void aggregate(const PackedModel& aggregator, const float* streams, size_t n, float* hidden, float* streamWeights);

  // What runs stops soon, what is started fails.
  void cancel() { cancelled_.store(true); }

 private:
  // A token of the step: its row, which of the row's new tokens it is, and which of all new tokens.
  struct Token {
    size_t row, index, number;
  };

  void attention(const StepInput& input, size_t layer);
  bool onlyKeysOfSome(const StepInput& input, size_t layer) const;
  void keepWanted(const StepInput& input);
  void appendToken(const StepInput& input, size_t layer, size_t token, size_t kvHead);
  void attendToken(const StepInput& input, size_t layer, size_t token, size_t kvHead, size_t thread);
  void mlp(size_t layer);
  // What linear layers read, made of what a norm or they themselves gave: x changes in place.
  float* normed(size_t layer, InputRole, size_t token);
  float* adaptInput(size_t layer, InputRole, size_t token, float* x);
  // A token's stream's vector, or null where it has none.
  const float* vectorOf(const Bank&, size_t token) const;
  Linear linear(size_t layer, LinearRole, const Matrix&, const float* bias, float* out, size_t stride, bool add = false) const;
  RowAdapters rowAdapters() const;
  void aggregatorScores(const PackedModel& aggregator, const float* streams, size_t n, float* scores);
  void mustGoOn() const;

  PackedModel weights_;
  const Kernels& kernels_;
  ThreadPool pool_;
  LinearLayers linear_;
  Cache cache_;
  Adapters adapters_;
  std::atomic<bool> cancelled_{false};

  // Of the step under way. M tokens: x, normed [M, H], q, mixed [M, heads * D], k, v [M, kvHeads * D], gate, up [M, I].
  std::vector<Token> tokens_;
  // The adapter of each token, and what its A gave.
  std::vector<uint32_t> numbers_;
  Buffer<float> lowMemory_;
  float* low_ = nullptr;
  Buffer<float> memory_, scoreMemory_;
  float *x_ = nullptr, *normed_ = nullptr, *q_ = nullptr, *k_ = nullptr, *v_ = nullptr, *mixed_ = nullptr, *gate_ = nullptr,
        *up_ = nullptr, *scores_ = nullptr;
  size_t scoresEach_ = 0;
  std::unique_ptr<std::atomic<bool>[]> finite_;
};

}  // namespace parscale
