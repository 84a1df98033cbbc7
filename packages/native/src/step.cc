#include "step.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace parscale {

Model::Model(PackedModel weights, const Kernels& kernels, size_t threads, CacheType cacheType)
    : weights_(std::move(weights)),
      kernels_(kernels),
      pool_(threads),
      linear_(kernels_, pool_),
      cache_({weights_.layers.size(), weights_.kvHeads, weights_.headDim, cacheType}) {}

void Model::openAdapters(size_t count, size_t rank) {
  adapters_ = Adapters();
  adapters_.count = count;
  adapters_.rank = rank;
  adapters_.layers.resize(weights_.layers.size());
}

namespace {

struct LinearPlace {
  InputRole reads;
  // Among those that read the same.
  size_t index;
};
constexpr LinearPlace places[linearRoles] = {{InputRole::qkv, 0},    {InputRole::qkv, 1},    {InputRole::qkv, 2}, {InputRole::o, 0},
                                             {InputRole::gateUp, 0}, {InputRole::gateUp, 1}, {InputRole::down, 0}};
constexpr size_t readers[inputRoles] = {3, 1, 2, 1};

}  // namespace

size_t Model::adapterSize(AdapterKind kind, size_t part) const {
  const size_t H = weights_.hidden, I = weights_.intermediate, Q = size_t(weights_.heads) * weights_.headDim,
               K = size_t(weights_.kvHeads) * weights_.headDim;
  const size_t inputs[inputRoles] = {H, Q, H, I}, outputs[linearRoles] = {Q, K, K, H, I, I, H};
  switch (kind) {
    case AdapterKind::inputScale: return part < inputRoles ? inputs[part] : 0;
    case AdapterKind::outputScale:
    case AdapterKind::bias: return part < linearRoles ? outputs[part] : 0;
    case AdapterKind::loraA: return part < linearRoles ? adapters_.rank * inputs[size_t(places[part].reads)] : 0;
    case AdapterKind::loraB: return part < linearRoles ? adapters_.rank * outputs[part] : 0;
    case AdapterKind::inputNorm:
    case AdapterKind::postNorm:
    case AdapterKind::finalNorm:
    case AdapterKind::embeddingScale:
    case AdapterKind::embeddingBias: return part == 0 ? H : 0;
  }
  return 0;
}

void Model::writeAdapters(AdapterKind kind, size_t layer, size_t part, const std::vector<float>& values) {
  LayerAdapters& to = adapters_.layers[layer];
  const size_t count = adapters_.count, rank = adapters_.rank;
  // No finer than the weights beside them.
  const Format format = weights_.layers[layer].q.quantised() ? Format::bf16 : Format::f32;
  switch (kind) {
    case AdapterKind::inputScale: return fillVectors(to.inputs[part].scale, count, values);
    case AdapterKind::outputScale: return fillVectors(to.linears[part].scale, count, values);
    case AdapterKind::bias: return fillVectors(to.linears[part].bias, count, values);
    case AdapterKind::loraA: {
      const auto [reads, index] = places[part];
      DownBank& down = to.inputs[size_t(reads)].down;
      down.shape = {nullptr, format, readers[size_t(reads)] * rank, adapterSize(AdapterKind::inputScale, size_t(reads))};
      to.linears[part].low = index * rank;
      return fillDown(down, count, index * rank, rank, values);
    }
    case AdapterKind::loraB: {
      UpBank& up = to.linears[part].up;
      up.format = format;
      return fillUp(up, count, adapterSize(AdapterKind::bias, part), rank, values);
    }
    case AdapterKind::inputNorm: return fillVectors(to.inputNorm, count, values);
    case AdapterKind::postNorm: return fillVectors(to.postNorm, count, values);
    case AdapterKind::finalNorm: return fillVectors(adapters_.finalNorm, count, values);
    case AdapterKind::embeddingScale: return fillVectors(adapters_.embeddingScale, count, values);
    case AdapterKind::embeddingBias: return fillVectors(adapters_.embeddingBias, count, values);
  }
}

void Model::mustGoOn() const {
  weights_.file->mustBeWhole();
  if (cancelled_.load(std::memory_order_relaxed)) throw Failure("ERR_CLOSED", "the model was closed during the step");
}

void Model::step(const StepInput& input, float* hidden, uint8_t* finite) {
  const PackedModel& w = weights_;
  const size_t M = input.ids.size(), H = w.hidden, Q = size_t(w.heads) * w.headDim, K = size_t(w.kvHeads) * w.headDim;

  tokens_.clear();
  numbers_.clear();
  size_t positions = 0;
  for (size_t row = 0; row < input.rows.size(); row++) {
    const StepRow& r = input.rows[row];
    const size_t from = r.prefix + r.length, to = from + r.count;
    cache_.forgetFrom(r.cacheRow, to);
    cache_.makeWritable(r.cacheRow, from, to);
    for (size_t index = 0; index < r.count; index++) tokens_.push_back({row, index, tokens_.size()});
    numbers_.insert(numbers_.end(), r.count, r.adapter);
    positions = std::max(positions, (to + lanes - 1) / lanes * lanes);
  }
  float* at = memory_.room(M * (2 * H + 2 * Q + 2 * K + 2 * size_t(w.intermediate)));
  for (auto [buffer, size] : {std::pair{&x_, H}, {&normed_, H}, {&q_, Q}, {&mixed_, Q}, {&k_, K}, {&v_, K},
                              {&gate_, size_t(w.intermediate)}, {&up_, size_t(w.intermediate)}}) {
    *buffer = at;
    at += M * size;
  }
  low_ = lowMemory_.room(M * adapters_.lowStride());
  scoresEach_ = (w.heads / w.kvHeads) * positions;
  scores_ = scoreMemory_.room(scoresEach_ * pool_.threads());
  finite_.reset(new std::atomic<bool>[input.rows.size()]);
  for (size_t row = 0; row < input.rows.size(); row++) finite_[row].store(true, std::memory_order_relaxed);

  const ThreadPool::Awake awake(pool_);
  pool_.run(M, [&](size_t token, size_t) {
    float* x = x_ + token * H;
    readRow(w.embedding, size_t(input.ids[token]), x);
    scaleBy(vectorOf(adapters_.embeddingScale, token), x, H);
    if (const float* bias = vectorOf(adapters_.embeddingBias, token))
      for (size_t i = 0; i < H; i++) x[i] += bias[i];
  });
  for (size_t layer = 0; layer < w.layers.size(); layer++) {
    mustGoOn();
    attention(input, layer);
    mlp(layer);
  }
  for (size_t token = 0, wanted = 0; token < tokens_.size(); token++) {
    if (!input.wanted[tokens_[token].number]) continue;
    float* out = hidden + wanted++ * H;
    kernels_.rmsNorm(x_ + token * H, w.finalNorm, H, w.rmsNormEps, out);
    scaleBy(vectorOf(adapters_.finalNorm, token), out, H);
  }
  for (size_t row = 0; row < input.rows.size(); row++) finite[row] = finite_[row].load(std::memory_order_relaxed);
}

const float* Model::vectorOf(const Bank& bank, size_t token) const {
  return numbers_[token] == 0 ? nullptr : bank.floats(numbers_[token]);
}

float* Model::adaptInput(size_t layer, InputRole role, size_t token, float* x) {
  const uint32_t number = numbers_[token];
  if (number == 0) return x;
  const InputAdapters& in = adapters_.layers[layer].of(role);
  if (!in.scale.empty()) scaleBy(in.scale.floats(number), x, adapterSize(AdapterKind::inputScale, size_t(role)));
  if (!in.down.matrices.empty()) kernels_.rankProduct(in.down.of(number), x, low_ + token * adapters_.lowStride());
  return x;
}

float* Model::normed(size_t layer, InputRole role, size_t token) {
  const LayerWeights& w = weights_.layers[layer];
  const bool first = role == InputRole::qkv;
  const size_t H = weights_.hidden;
  float* out = normed_ + token * H;
  kernels_.rmsNorm(x_ + token * H, first ? w.inputNorm : w.postNorm, H, weights_.rmsNormEps, out);
  if (numbers_[token] == 0) return out;
  const LayerAdapters& adapters = adapters_.layers[layer];
  scaleBy(vectorOf(first ? adapters.inputNorm : adapters.postNorm, token), out, H);
  return adaptInput(layer, role, token, out);
}

Linear Model::linear(size_t layer, LinearRole role, const Matrix& weights, const float* bias, float* out, size_t stride, bool add) const {
  return {&weights, bias, out, stride, add, adapters_.count > 0 ? &adapters_.layers[layer].of(role) : nullptr};
}

RowAdapters Model::rowAdapters() const { return {numbers_.data(), low_, adapters_.lowStride(), adapters_.rank}; }

// Whether of some tokens nothing but keys and values is needed from here on. What streams own is numbered by row, so those steps do it all.
bool Model::onlyKeysOfSome(const StepInput& input, size_t layer) const {
  const auto all = [](const auto& numbers, auto good) { return std::all_of(numbers.begin(), numbers.end(), good); };
  return layer + 1 == weights_.layers.size() && !all(input.wanted, [](uint8_t wanted) { return wanted != 0; }) &&
         all(numbers_, [](uint32_t number) { return number == 0; });
}

// From here on the step is about the wanted tokens only.
void Model::keepWanted(const StepInput& input) {
  const size_t H = weights_.hidden;
  size_t kept = 0;
  for (size_t token = 0; token < tokens_.size(); token++) {
    if (!input.wanted[tokens_[token].number]) continue;
    if (kept < token) {
      std::copy_n(x_ + token * H, H, x_ + kept * H);
      std::copy_n(normed_ + token * H, H, normed_ + kept * H);
      tokens_[kept] = tokens_[token];
    }
    kept++;
  }
  tokens_.resize(kept);
  numbers_.resize(kept);
}

// x += o(attention(norm(x)))
void Model::attention(const StepInput& input, size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  size_t M = tokens_.size();
  const size_t H = weights_.hidden, heads = weights_.kvHeads;
  const size_t Q = size_t(weights_.heads) * weights_.headDim, K = heads * weights_.headDim;
  const Linear q = linear(layer, LinearRole::q, w.q, w.qBias, q_, Q), k = linear(layer, LinearRole::k, w.k, w.kBias, k_, K),
               v = linear(layer, LinearRole::v, w.v, w.vBias, v_, K);
  const bool onlyKeys = onlyKeysOfSome(input, layer);
  linear_.run(M, onlyKeys ? std::vector<Linear>{k, v} : std::vector<Linear>{q, k, v},
              [&](size_t token, Prefetch&) { return normed(layer, InputRole::qkv, token); }, rowAdapters());
  // A token of a longer chunk sees those before it: all of them are in the cache before the first one looks.
  const bool oneEach = M == input.rows.size() && !onlyKeys;
  if (!oneEach) {
    pool_.run(M * heads, [&](size_t item, size_t) { appendToken(input, layer, item / heads, item % heads); });
  }
  if (onlyKeys) {
    keepWanted(input);
    M = tokens_.size();
    if (M == 0) return;
    linear_.run(M, {q}, [&](size_t token, Prefetch&) { return normed_ + token * H; }, rowAdapters());
  }
  const std::vector<Linear> output{linear(layer, LinearRole::o, w.o, w.oBias, x_, H, true)};
  linear_.expect(M, output);
  pool_.run(M * heads, [&](size_t item, size_t thread) {
    if (oneEach) appendToken(input, layer, item / heads, item % heads);
    attendToken(input, layer, item / heads, item % heads, thread);
  });
  linear_.run(M, output, [&](size_t token, Prefetch&) { return adaptInput(layer, InputRole::o, token, mixed_ + token * Q); },
              rowAdapters());
}

void Model::appendToken(const StepInput& input, size_t layer, size_t token, size_t kvHead) {
  const LayerWeights& w = weights_.layers[layer];
  const StepRow& row = input.rows[tokens_[token].row];
  const size_t D = weights_.headDim, at = (token * weights_.kvHeads + kvHead) * D;
  if (w.kNorm) kernels_.rmsNorm(k_ + at, w.kNorm, D, weights_.rmsNormEps, k_ + at);
  const size_t angles = tokens_[token].number * (D / 2);
  kernels_.rotate(k_ + at, &input.cosines[angles], &input.sines[angles], D / 2);
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
  const size_t angles = tokens_[token].number * (D / 2);
  for (float* query = q_ + at; query < q_ + at + groups * D; query += D) {
    if (w.qNorm) kernels_.rmsNorm(query, w.qNorm, D, weights_.rmsNormEps, query);
    kernels_.rotate(query, &input.cosines[angles], &input.sines[angles], D / 2);
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
  if (M == 0) return;
  const std::vector<Linear> gateUp{linear(layer, LinearRole::gate, w.gate, w.gateBias, gate_, I),
                                   linear(layer, LinearRole::up, w.up, w.upBias, up_, I)};
  linear_.run(M, gateUp, [&](size_t token, Prefetch&) { return normed(layer, InputRole::gateUp, token); }, rowAdapters());
  const auto hidden = [&](size_t token, Prefetch& prefetch) {
    kernels_.siluTimes(gate_ + token * I, up_ + token * I, I, prefetch);
    return adaptInput(layer, InputRole::down, token, gate_ + token * I);
  };
  linear_.run(M, {linear(layer, LinearRole::down, w.down, w.downBias, x_, H, true)}, hidden, rowAdapters());
}

void Model::logits(const float* hidden, size_t n, float* logits, double* powers) {
  mustGoOn();
  const ThreadPool::Awake awake(pool_);
  linear_.run(n, {{&weights_.output, nullptr, logits, weights_.vocabulary}},
              [&](size_t row, Prefetch&) { return hidden + row * weights_.hidden; });
  if (!powers) return;
  pool_.run(n, [&](size_t row, size_t) { kernels_.sumPowers(logits + row * weights_.vocabulary, weights_.vocabulary, powers + 2 * row); });
}

// w = softmax(scores), w' = w (1 - e) + e / P, h = h_1 + sum_p>1 w'_p (h_p - h_1); scores of the network, or P learned ones
void Model::aggregate(const PackedModel& a, const float* streams, size_t n, float* hidden, float* streamWeights) {
  mustGoOn();
  const size_t H = a.hidden, P = a.streams;
  if (a.aggregator.inner.data) {
    aggregatorScores(a, streams, n, streamWeights);
  } else {
    for (size_t i = 0; i < n * P; i++) streamWeights[i] = a.aggregator.outerBias[i % P];
  }
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

// W2 silu(W1 [h_1 .. h_P] + b1) + b2
void Model::aggregatorScores(const PackedModel& a, const float* streams, size_t n, float* scores) {
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
  linear_.run(n, {{&a.aggregator.outer, a.aggregator.outerBias, scores, P}}, [&](size_t i, Prefetch&) {
    kernels_.silu(inner + i * H, H);
    return inner + i * H;
  });
}

}  // namespace parscale
