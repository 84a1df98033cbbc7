// Attention of one token over the keys and values of its row, and how these are written: part of templates.h, which includes it.
#pragma once
#include <cstring>

#include "kernels.h"

namespace parscale {

// ---- cache ----

// Calls write(i, bytes) for each element as the cache stores it; gives the scale (int8) or 1.
template <class Isa, class Write>
float eachStored(CacheType type, const float* x, size_t n, Write write) {
  auto largest = Isa::set(0);
  if (type == CacheType::int8)
    for (size_t i = 0; i < n; i += lanes) largest = Isa::max(Isa::abs(loadSome<Isa>(x + i, n - i)), largest);
  const float extreme = Isa::largest(largest);
  const auto factor = Isa::set(extreme > 0 ? 127 / extreme : 0);
  for (size_t i = 0; i < n; i += lanes) {
    const auto v = loadSome<Isa>(x + i, n - i);
    alignas(64) float floats[lanes];
    alignas(32) uint16_t halves[lanes];
    alignas(16) int8_t bytes[lanes];
    if (type == CacheType::f32) Isa::store(floats, v);
    if (type == CacheType::f16) Isa::storeHalf(halves, v);
    if (type == CacheType::int8) Isa::roundToBytes(Isa::max(Isa::min(Isa::mul(v, factor), Isa::set(127)), Isa::set(-127)), bytes);
    for (size_t j = 0; j < lanes && i + j < n; j++) {
      if (type == CacheType::f32) write(i + j, &floats[j], sizeof(float));
      if (type == CacheType::f16) write(i + j, &halves[j], sizeof(uint16_t));
      if (type == CacheType::int8) write(i + j, &bytes[j], sizeof(int8_t));
    }
  }
  return extreme / 127;
}

template <class Isa>
bool appendKv(const CachedHead& head, size_t position, const float* key, const float* value) {
  const bool good = finite<Isa>(key, head.headDim) && finite<Isa>(value, head.headDim);
  alignas(64) static const float nothing[largestHead] = {};
  uint8_t* page = head.pages[position / pagePositions];
  const size_t p = position % pagePositions;
  if (!good) key = value = nothing;
  const float keyScale = eachStored<Isa>(head.type, key, head.headDim, [&](size_t d, const void* from, size_t bytes) {
    std::memcpy(page + head.keys + ((p / lanes * head.headDim + d) * lanes + p % lanes) * bytes, from, bytes);
  });
  const float valueScale = eachStored<Isa>(head.type, value, head.headDim, [&](size_t d, const void* from, size_t bytes) {
    std::memcpy(page + head.values + (p * head.valueStride() + d) * bytes, from, bytes);
  });
  if (head.type == CacheType::int8) {
    std::memcpy(page + head.keyScales + p * sizeof(float), &keyScale, sizeof(float));
    std::memcpy(page + head.valueScales + p * sizeof(float), &valueScale, sizeof(float));
  }
  return good;
}

constexpr size_t cachedBytes(CacheType type) { return type == CacheType::f32 ? 4 : type == CacheType::f16 ? 2 : 1; }

template <class Isa, CacheType type>
typename Isa::Floats loadCached(const uint8_t* base, size_t element) {
  if constexpr (type == CacheType::f32) return Isa::load(reinterpret_cast<const float*>(base) + element);
  else if constexpr (type == CacheType::f16) return Isa::loadHalf(reinterpret_cast<const uint16_t*>(base) + element);
  else return Isa::loadInt8(reinterpret_cast<const int8_t*>(base) + element);
}

// ---- attention ----

constexpr float hiddenScore = -3e38f;
constexpr size_t tilesOfPage = pagePositions / lanes;

// Whether a tile before the end is among those of `eachTile`.
inline bool isVisited(const VisibleRange& see, size_t tile) { return tile < (see.prefix + lanes - 1) / lanes || tile >= see.first / lanes; }

// Tiles of 16 positions in which anything is visible, in order: those of the prefix, then those of the sequence.
template <class Visit>
void eachTile(const VisibleRange& see, Visit visit) {
  const size_t prefixTiles = (see.prefix + lanes - 1) / lanes, tiles = (see.end + lanes - 1) / lanes;
  for (size_t t = 0; t < prefixTiles; t++) visit(t);
  for (size_t t = see.first / lanes > prefixTiles ? see.first / lanes : prefixTiles; t < tiles; t++) visit(t);
}

// Scores of M queries for T neighbouring tiles of a page, so that each number of a query is loaded once for all of them: scores [tile][M][16].
// Queries [D][M].
template <class Isa, CacheType type, int M, int T>
void scoreSome(const CachedHead& head, const VisibleRange& see, size_t tile, const float* queries, float* scores, Prefetch& prefetch) {
  const size_t D = head.headDim, pages = (see.end + pagePositions - 1) / pagePositions, within = tile % tilesOfPage;
  const uint8_t* page = head.pages[tile / tilesOfPage];
  typename Isa::Floats acc[T * M];
  for (int i = 0; i < T * M; i++) acc[i] = Isa::set(0);
  // Asked for meanwhile: these tiles' values, and the keys of the next page, where the CPU's own prefetching does not go.
  const uint8_t* values = page + head.values + within * lanes * head.valueStride() * cachedBytes(type);
  const uint8_t* nextKeys = tile / tilesOfPage + 1 < pages ? head.pages[tile / tilesOfPage + 1] + head.keys : page;
  nextKeys += within * lanes * D * cachedBytes(type);
  for (size_t d = 0; d < D; d++) {
    if (M >= 4 || d % 4 == 0) prefetchLine<Isa>(prefetch);
    typename Isa::Floats key[T];
    for (int t = 0; t < T; t++) {
      const size_t at = (size_t(t) * D + d) * lanes;
      if (d * cachedBytes(type) % 4 == 0) {
        Isa::prefetch(values + at * cachedBytes(type));
        Isa::prefetch(nextKeys + at * cachedBytes(type));
      }
      key[t] = loadCached<Isa, type>(page + head.keys, within * D * lanes + at);
    }
    for (int g = 0; g < M; g++) {
      const auto query = Isa::set(queries[d * M + g]);
      for (int t = 0; t < T; t++) acc[t * M + g] = Isa::fma(key[t], query, acc[t * M + g]);
    }
  }
  for (int t = 0; t < T; t++) {
    float* to = scores + (tile + t) * M * lanes;
    auto* sums = acc + t * M;
    if constexpr (type == CacheType::int8) {
      const auto scale = Isa::load(reinterpret_cast<const float*>(page + head.keyScales) + (within + t) * lanes);
      for (int g = 0; g < M; g++) sums[g] = Isa::mul(sums[g], scale);
    }
    for (int g = 0; g < M; g++) Isa::store(to + g * lanes, sums[g]);
    // Where the prefix ends, the sequence begins and ends, tiles are partly hidden; and the prefix may have a score of its own.
    const size_t from = (tile + t) * lanes;
    if (from >= see.prefix && from >= see.first && from + lanes <= see.end) continue;
    for (int g = 0; g < M; g++, to += lanes) {
      for (size_t position = from; position < from + lanes; position++) {
        if (position < see.prefix) to[position - from] += see.prefixScore;
        else if (position < see.first || position >= see.end) to[position - from] = hiddenScore;
      }
    }
  }
}

template <class Isa, CacheType type, int M>
void scoreTiles(const CachedHead& head, const VisibleRange& see, const float* queries, float* scores, Prefetch& prefetch) {
  // Only 8 bits, where arithmetic is what takes the time: floats came a tenth later so.
  constexpr size_t together = type == CacheType::int8 && Isa::accumulators >= 3 * M ? 2 : 1;
  size_t next = 0;
  eachTile(see, [&](size_t tile) {
    if (tile < next) return;
    const size_t tiles = (see.end + lanes - 1) / lanes;
    const bool both = together == 2 && tile % 2 == 0 && tile + 1 < tiles && isVisited(see, tile + 1);
    if (both) scoreSome<Isa, type, M, together>(head, see, tile, queries, scores, prefetch);
    else scoreSome<Isa, type, M, 1>(head, see, tile, queries, scores, prefetch);
    next = tile + (both ? 2 : 1);
  });
}

// Attention scores to weights: the softmax without its division, which `sums` keeps. With values in 8 bits, weights take up their scales.
template <class Isa, CacheType type, int M>
void attentionWeights(const CachedHead& head, const VisibleRange& see, float* scores, float* sums) {
  typename Isa::Floats top[M], total[M];
  for (int g = 0; g < M; g++) top[g] = Isa::set(hiddenScore);
  eachTile(see, [&](size_t tile) {
    for (int g = 0; g < M; g++) top[g] = Isa::max(Isa::load(scores + (tile * M + g) * lanes), top[g]);
  });
  for (int g = 0; g < M; g++) {
    top[g] = Isa::set(Isa::largest(top[g]));
    total[g] = Isa::set(0);
  }
  eachTile(see, [&](size_t tile) {
    auto scale = Isa::set(1);
    if constexpr (type == CacheType::int8) {
      const uint8_t* page = head.pages[tile / tilesOfPage];
      scale = Isa::load(reinterpret_cast<const float*>(page + head.valueScales) + tile % tilesOfPage * lanes);
    }
    for (int g = 0; g < M; g++) {
      float* at = scores + (tile * M + g) * lanes;
      const auto weight = exponential<Isa>(Isa::sub(Isa::load(at), top[g]));
      total[g] = Isa::add(total[g], weight);
      if constexpr (type == CacheType::int8) Isa::store(at, Isa::mul(weight, scale));
      else Isa::store(at, weight);
    }
  });
  for (int g = 0; g < M; g++) sums[g] = Isa::sum(total[g]);
}

// Values times their attention weights, for M queries and T times 16 of the D numbers at once, position after position.
template <class Isa, CacheType type, int M, int T>
void mixValues(const CachedHead& head, const VisibleRange& see, const float* attention, size_t from, const float* sums, float* out,
               Prefetch& prefetch) {
  const size_t D = head.headDim, valueStride = head.valueStride();
  typename Isa::Floats acc[M * T];
  for (int i = 0; i < M * T; i++) acc[i] = Isa::set(0);
  const auto addPositions = [&](size_t begin, size_t end) {
    for (size_t tile = begin / lanes; tile * lanes < end; tile++) {
      const uint8_t* values = head.pages[tile / tilesOfPage] + head.values;
      const size_t first = tile * lanes > begin ? tile * lanes : begin, last = tile * lanes + lanes < end ? tile * lanes + lanes : end;
      const float* weight = attention + tile * M * lanes + first % lanes;
      for (size_t position = first; position < last; position++, weight++) {
        if (M * T >= 8 || position % 4 == 0) prefetchLine<Isa>(prefetch);
        typename Isa::Floats value[T];
        for (int t = 0; t < T; t++)
          value[t] = loadCached<Isa, type>(values, position % pagePositions * valueStride + from + t * lanes);
        for (int g = 0; g < M; g++) {
          const auto part = Isa::set(weight[g * lanes]);
          for (int t = 0; t < T; t++) acc[g * T + t] = Isa::fma(value[t], part, acc[g * T + t]);
        }
      }
    }
  };
  addPositions(0, see.prefix);
  addPositions(see.first, see.end);
  for (int g = 0; g < M; g++) {
    const auto sum = Isa::set(sums[g]);
    for (int t = 0; t < T; t++) {
      const size_t d = from + t * lanes;
      storeSome<Isa>(out + g * D + d, Isa::div(acc[g * T + t], sum), D - d);
    }
  }
}

template <class Isa, CacheType type, int M>
void attendHeads(const CachedHead& head, const VisibleRange& see, const float* queries, float* scores, float* out, Prefetch& prefetch) {
  const size_t D = head.headDim;
  float transposed[M * largestHead], sums[M];
  for (int g = 0; g < M; g++)
    for (size_t d = 0; d < D; d++) transposed[d * M + g] = queries[g * D + d];
  scoreTiles<Isa, type, M>(head, see, transposed, scores, prefetch);
  attentionWeights<Isa, type, M>(head, see, scores, sums);
  constexpr int several = Isa::accumulators / M >= 6 ? 6 : Isa::accumulators / M >= 3 ? 3 : Isa::accumulators / M >= 2 ? 2 : 1;
  size_t d = 0;
  for (; d + several * lanes <= head.valueStride(); d += several * lanes)
    mixValues<Isa, type, M, several>(head, see, scores, d, sums, out, prefetch);
  for (; d < head.valueStride(); d += lanes) mixValues<Isa, type, M, 1>(head, see, scores, d, sums, out, prefetch);
}

template <class Isa, CacheType type>
void attendTyped(const CachedHead& head, const VisibleRange& see, const float* queries, size_t groups, float* scores, float* out,
                 Prefetch& prefetch) {
  constexpr int most = Isa::accumulators < 8 ? 4 : 8;
  const size_t D = head.headDim;
  size_t g = 0;
  for (; g + most <= groups; g += most) attendHeads<Isa, type, most>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g + 3 <= groups; g += 3) attendHeads<Isa, type, 3>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g + 2 <= groups; g += 2) attendHeads<Isa, type, 2>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g < groups; g++) attendHeads<Isa, type, 1>(head, see, queries + g * D, scores, out + g * D, prefetch);
}

template <class Isa>
void attend(const CachedHead& head, const VisibleRange& see, const float* queries, size_t groups, float* scores, float* out,
            Prefetch& prefetch) {
  switch (head.type) {
    case CacheType::f32: return attendTyped<Isa, CacheType::f32>(head, see, queries, groups, scores, out, prefetch);
    case CacheType::f16: return attendTyped<Isa, CacheType::f16>(head, see, queries, groups, scores, out, prefetch);
    case CacheType::int8: return attendTyped<Isa, CacheType::int8>(head, see, queries, groups, scores, out, prefetch);
  }
}

}  // namespace parscale
