#include "step.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace parscale {

Model::Model(const std::string& path, const Kernels& kernels, size_t threads, CacheType cacheType)
    : weights_(openPackedModel(path)),
      kernels_(kernels),
      pool_(threads),
      linear_(kernels_, pool_),
      cache_({weights_.layers.size(), weights_.kvHeads, weights_.headDim, cacheType}) {}

void Model::mustGoOn() const {
  weights_.file->mustBeWhole();
  if (cancelled_.load(std::memory_order_relaxed)) throw Failure("ERR_CLOSED", "the model was closed during the step");
}

void Model::step(const StepInput& input, float* hidden, uint8_t* finite) {
  const PackedModel& w = weights_;
  const size_t M = input.ids.size(), H = w.hidden, Q = size_t(w.heads) * w.headDim, K = size_t(w.kvHeads) * w.headDim;

  tokens_.clear();
  size_t positions = 0;
  for (size_t row = 0; row < input.rows.size(); row++) {
    const StepRow& r = input.rows[row];
    const size_t from = r.prefix + r.length, to = from + r.count;
    cache_.forgetFrom(r.cacheRow, to);
    cache_.makeWritable(r.cacheRow, from, to);
    for (size_t index = 0; index < r.count; index++) tokens_.push_back({row, index});
    positions = std::max(positions, (to + lanes - 1) / lanes * lanes);
  }
  float* at = memory_.room(M * (2 * H + 2 * Q + 2 * K + 2 * size_t(w.intermediate)));
  for (auto [buffer, size] : {std::pair{&x_, H}, {&normed_, H}, {&q_, Q}, {&mixed_, Q}, {&k_, K}, {&v_, K},
                              {&gate_, size_t(w.intermediate)}, {&up_, size_t(w.intermediate)}}) {
    *buffer = at;
    at += M * size;
  }
  scoresEach_ = (w.heads / w.kvHeads) * positions;
  scores_ = scoreMemory_.room(scoresEach_ * pool_.threads());
  finite_.reset(new std::atomic<bool>[input.rows.size()]);
  for (size_t row = 0; row < input.rows.size(); row++) finite_[row].store(true, std::memory_order_relaxed);

  const ThreadPool::Awake awake(pool_);
  pool_.run(M, [&](size_t token, size_t) { readRow(w.embedding, size_t(input.ids[token]), x_ + token * H); });
  for (size_t layer = 0; layer < w.layers.size(); layer++) {
    mustGoOn();
    attention(input, layer);
    mlp(layer);
  }
  for (size_t token = 0, wanted = 0; token < M; token++) {
    if (input.wanted[token]) kernels_.rmsNorm(x_ + token * H, w.finalNorm, H, w.rmsNormEps, hidden + wanted++ * H);
  }
  for (size_t row = 0; row < input.rows.size(); row++) finite[row] = finite_[row].load(std::memory_order_relaxed);
}

// x += o(attention(norm(x)))
void Model::attention(const StepInput& input, size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t M = tokens_.size(), H = weights_.hidden, heads = weights_.kvHeads;
  const size_t Q = size_t(weights_.heads) * weights_.headDim, K = heads * weights_.headDim;
  linear_.run(M, {{&w.q, w.qBias, q_, Q}, {&w.k, w.kBias, k_, K}, {&w.v, w.vBias, v_, K}}, [&](size_t token, Prefetch&) {
    kernels_.rmsNorm(x_ + token * H, w.inputNorm, H, weights_.rmsNormEps, normed_ + token * H);
    return normed_ + token * H;
  });
  // A token of a longer chunk sees those before it: all of them are in the cache before the first one looks.
  const bool oneEach = M == input.rows.size();
  if (!oneEach) {
    pool_.run(M * heads, [&](size_t item, size_t) { appendToken(input, layer, item / heads, item % heads); });
  }
  const std::vector<Linear> output{{&w.o, w.oBias, x_, H, true}};
  linear_.expect(M, output);
  pool_.run(M * heads, [&](size_t item, size_t thread) {
    if (oneEach) appendToken(input, layer, item / heads, item % heads);
    attendToken(input, layer, item / heads, item % heads, thread);
  });
  linear_.run(M, output, [&](size_t token, Prefetch&) { return mixed_ + token * Q; });
}

void Model::appendToken(const StepInput& input, size_t layer, size_t token, size_t kvHead) {
  const LayerWeights& w = weights_.layers[layer];
  const StepRow& row = input.rows[tokens_[token].row];
  const size_t D = weights_.headDim, at = (token * weights_.kvHeads + kvHead) * D;
  if (w.kNorm) kernels_.rmsNorm(k_ + at, w.kNorm, D, weights_.rmsNormEps, k_ + at);
  kernels_.rotate(k_ + at, &input.cosines[token * (D / 2)], &input.sines[token * (D / 2)], D / 2);
  const CachedHead head = cache_.head(row.cacheRow, layer, kvHead);
  const size_t position = row.prefix + row.length + tokens_[token].index;
  if (!kernels_.appendKv(head, position, k_ + at, v_ + at)) finite_[tokens_[token].row].store(false, std::memory_order_relaxed);
}

void Model::attendToken(const StepInput& input, size_t layer, size_t token, size_t kvHead, size_t thread) {
  const LayerWeights& w = weights_.layers[layer];
  const StepRow& row = input.rows[tokens_[token].row];
  const size_t D = weights_.headDim, groups = weights_.heads / weights_.kvHeads;
  const size_t at = (token * weights_.heads + kvHead * groups) * D;
  const float scale = 1 / std::sqrt(float(D));
  for (float* query = q_ + at; query < q_ + at + groups * D; query += D) {
    if (w.qNorm) kernels_.rmsNorm(query, w.qNorm, D, weights_.rmsNormEps, query);
    kernels_.rotate(query, &input.cosines[token * (D / 2)], &input.sines[token * (D / 2)], D / 2);
    for (size_t d = 0; d < D; d++) query[d] *= scale;
  }
  const size_t index = row.length + tokens_[token].index, window = weights_.windows[layer];
  const size_t first = window > 0 && index + 1 > window ? index + 1 - window : 0;
  const VisibleRange see{row.prefix, row.prefix + first, row.prefix + index + 1, row.prefixScore};
  const CachedHead head = cache_.head(row.cacheRow, layer, kvHead);
  kernels_.attend(head, see, q_ + at, groups, scores_ + thread * scoresEach_, mixed_ + at, linear_.prefetch(thread));
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
void Model::mlp(size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t M = tokens_.size(), H = weights_.hidden, I = weights_.intermediate;
  linear_.run(M, {{&w.gate, w.gateBias, gate_, I}, {&w.up, w.upBias, up_, I}}, [&](size_t token, Prefetch&) {
    kernels_.rmsNorm(x_ + token * H, w.postNorm, H, weights_.rmsNormEps, normed_ + token * H);
    return normed_ + token * H;
  });
  linear_.run(M, {{&w.down, w.downBias, x_, H, true}}, [&](size_t token, Prefetch& prefetch) {
    kernels_.siluTimes(gate_ + token * I, up_ + token * I, I, prefetch);
    return gate_ + token * I;
  });
}

void Model::logits(const float* hidden, size_t n, float* logits) {
  mustGoOn();
  const ThreadPool::Awake awake(pool_);
  linear_.run(n, {{&weights_.output, nullptr, logits, weights_.vocabulary}},
              [&](size_t row, Prefetch&) { return hidden + row * weights_.hidden; });
}

// w = softmax(W2 silu(W1 [h_1 .. h_P] + b1) + b2), w' = w (1 - e) + e / P, h = h_1 + sum_p>1 w'_p (h_p - h_1)
void Model::aggregate(const PackedModel& a, const float* streams, size_t n, float* hidden, float* streamWeights) {
  mustGoOn();
  const size_t H = a.hidden, P = a.streams;
  float* together = memory_.room(n * (P + 1) * H);
  float* inner = together + n * P * H;
  const ThreadPool::Awake awake(pool_);
  linear_.run(n, {{&a.aggregator.inner, a.aggregator.innerBias, inner, H}}, [&](size_t i, Prefetch&) {
    // The stream index runs fastest.
    float* to = together + i * P * H;
    for (size_t p = 0; p < P; p++)
      for (size_t h = 0; h < H; h++) to[h * P + p] = streams[(i * P + p) * H + h];
    return to;
  });
  linear_.run(n, {{&a.aggregator.outer, a.aggregator.outerBias, streamWeights, P}}, [&](size_t i, Prefetch&) {
    kernels_.silu(inner + i * H, H);
    return inner + i * H;
  });
  for (size_t i = 0; i < n; i++) {
    float *weight = streamWeights + i * P, *out = hidden + i * H;
    const float* first = streams + i * P * H;
    kernels_.softmax(weight, P);
    for (size_t p = 0; p < P; p++) weight[p] = weight[p] * (1 - a.smoothing) + a.smoothing / float(P);
    for (size_t h = 0; h < H; h++) {
      float sum = 0;
      for (size_t p = 1; p < P; p++) sum += weight[p] * (first[p * H + h] - first[h]);
      out[h] = first[h] + sum;
    }
  }
}

}  // namespace parscale
