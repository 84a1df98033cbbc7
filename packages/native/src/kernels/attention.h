// Attention of one token over the keys and values of its row, and how these are written: part of templates.h, which includes it.
#pragma once
#include <cstring>
#include <limits>

#include "kernels.h"

namespace parscale {

// ---- cache ----

// Calls write(i, bytes) for each element as the cache stores floats.
template <class Isa, class Write>
void eachFloat(CacheType type, const float* x, size_t n, Write write) {
  for (size_t i = 0; i < n; i += lanes) {
    const auto v = loadSome<Isa>(x + i, n - i);
    alignas(64) float floats[lanes];
    alignas(32) uint16_t halves[lanes];
    if (type == CacheType::f32) Isa::store(floats, v);
    else Isa::storeHalf(halves, v);
    for (size_t j = 0; j < lanes && i + j < n; j++) {
      if (type == CacheType::f32) write(i + j, &floats[j], sizeof(float));
      else write(i + j, &halves[j], sizeof(uint16_t));
    }
  }
}

// Calls write(i, byte) for each element as the cache stores 8 bits; gives their scale.
template <class Isa, class Write>
float eachByte(const float* x, size_t n, Write write) {
  auto largest = Isa::set(0);
  for (size_t i = 0; i < n; i += lanes) largest = Isa::max(Isa::abs(loadSome<Isa>(x + i, n - i)), largest);
  const float extreme = Isa::largest(largest);
  const auto factor = Isa::set(extreme > 0 ? 127 / extreme : 0);
  for (size_t i = 0; i < n; i += lanes) {
    alignas(16) int8_t bytes[lanes];
    const auto scaled = Isa::mul(loadSome<Isa>(x + i, n - i), factor);
    Isa::roundToBytes(Isa::max(Isa::min(scaled, Isa::set(127)), Isa::set(-127)), bytes);
    for (size_t j = 0; j < lanes && i + j < n; j++) write(i + j, uint8_t(bytes[j] + 128));
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
  if (head.type == CacheType::int8) {
    uint8_t *keys = page + head.keys + p / lanes * head.keyStride() * lanes, *values = page + head.values;
    const float scales[] = {eachByte<Isa>(key, head.headDim, [&](size_t d, uint8_t byte) { keys[(d / 4 * lanes + p % lanes) * 4 + d % 4] = byte; }),
                            eachByte<Isa>(value, head.headDim, [&](size_t d, uint8_t byte) {
                              values[(p / 4 * head.valueStride() + d) * 4 + p % 4] = byte;
                            })};
    std::memcpy(page + head.keyScales + p * sizeof(float), &scales[0], sizeof(float));
    std::memcpy(page + head.valueScales + p * sizeof(float), &scales[1], sizeof(float));
    return good;
  }
  eachFloat<Isa>(head.type, key, head.headDim, [&](size_t d, const void* from, size_t bytes) {
    std::memcpy(page + head.keys + ((p / lanes * head.keyStride() + d) * lanes + p % lanes) * bytes, from, bytes);
  });
  eachFloat<Isa>(head.type, value, head.headDim, [&](size_t d, const void* from, size_t bytes) {
    std::memcpy(page + head.values + (p * head.valueStride() + d) * bytes, from, bytes);
  });
  return good;
}

constexpr size_t cachedBytes(CacheType type) { return type == CacheType::f32 ? 4 : 2; }

template <class Isa, CacheType type>
typename Isa::Floats loadCached(const uint8_t* base, size_t element) {
  if constexpr (type == CacheType::f32) return Isa::load(reinterpret_cast<const float*>(base) + element);
  else return Isa::loadHalf(reinterpret_cast<const uint16_t*>(base) + element);
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

// Where the prefix ends, the sequence begins and ends, tiles are partly hidden; and the prefix may have a score of its own. Scores [M][16].
template <class Isa, int M>
void hideUnseen(const VisibleRange& see, size_t tile, float* scores) {
  const size_t from = tile * lanes;
  if (from >= see.prefix && from >= see.first && from + lanes <= see.end) return;
  for (int g = 0; g < M; g++, scores += lanes) {
    for (size_t position = from; position < from + lanes; position++) {
      if (position < see.prefix) scores[position - from] += see.prefixScore;
      else if (position < see.first || position >= see.end) scores[position - from] = hiddenScore;
    }
  }
}

// The next page, or this one where it is the last: what is asked for ahead, as the CPU's own prefetching ends with a page.
inline const uint8_t* nextPage(const CachedHead& head, const VisibleRange& see, size_t page) {
  return head.pages[(page + 1) * pagePositions < see.end ? page + 1 : page];
}

// What attention asks for while it reads the keys of a tile, where the CPU's own prefetching does not go: the tile's values, and the same tile's
// keys of the next page. As many bytes each as the keys.
struct Ahead {
  const uint8_t *values, *keys;
};
inline Ahead aheadOf(const CachedHead& head, const VisibleRange& see, size_t tile, size_t elementBytes) {
  const size_t pages = (see.end + pagePositions - 1) / pagePositions, within = tile % tilesOfPage;
  const uint8_t* page = head.pages[tile / tilesOfPage];
  const uint8_t* next = tile / tilesOfPage + 1 < pages ? head.pages[tile / tilesOfPage + 1] + head.keys : page;
  return {page + head.values + within * lanes * head.valueStride() * elementBytes, next + within * lanes * head.keyStride() * elementBytes};
}

// Scores of M queries, [D][M], for the 16 positions of a tile: [M][16].
template <class Isa, CacheType type, int M>
void scoreTile(const CachedHead& head, const VisibleRange& see, size_t tile, const float* queries, float* scores, Prefetch& prefetch) {
  const size_t D = head.headDim, within = tile % tilesOfPage;
  const uint8_t* keys = head.pages[tile / tilesOfPage] + head.keys;
  const Ahead ahead = aheadOf(head, see, tile, cachedBytes(type));
  typename Isa::Floats acc[M];
  for (int g = 0; g < M; g++) acc[g] = Isa::set(0);
  for (size_t d = 0; d < D; d++) {
    if (M >= 4 || d % 4 == 0) prefetchLine<Isa>(prefetch);
    if (d * cachedBytes(type) % 4 == 0) {
      Isa::prefetch(ahead.values + d * lanes * cachedBytes(type));
      Isa::prefetch(ahead.keys + d * lanes * cachedBytes(type));
    }
    const auto key = loadCached<Isa, type>(keys, (within * D + d) * lanes);
    for (int g = 0; g < M; g++) acc[g] = Isa::fma(key, Isa::set(queries[d * M + g]), acc[g]);
  }
  for (int g = 0; g < M; g++) Isa::store(scores + g * lanes, acc[g]);
  hideUnseen<Isa, M>(see, tile, scores);
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
      const size_t at = head.valueScales + tile % tilesOfPage * lanes * sizeof(float);
      Isa::prefetch(nextPage(head, see, tile / tilesOfPage) + at);
      scale = Isa::load(reinterpret_cast<const float*>(head.pages[tile / tilesOfPage] + at));
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
  eachTile(see, [&](size_t tile) { scoreTile<Isa, type, M>(head, see, tile, transposed, scores + tile * M * lanes, prefetch); });
  attentionWeights<Isa, type, M>(head, see, scores, sums);
  constexpr int several = Isa::accumulators / M >= 6 ? 6 : Isa::accumulators / M >= 3 ? 3 : Isa::accumulators / M >= 2 ? 2 : 1;
  size_t d = 0;
  for (; d + several * lanes <= head.valueStride(); d += several * lanes)
    mixValues<Isa, type, M, several>(head, see, scores, d, sums, out, prefetch);
  for (; d < head.valueStride(); d += lanes) mixValues<Isa, type, M, 1>(head, see, scores, d, sums, out, prefetch);
}

}  // namespace parscale

#include "attention-int8.h"

namespace parscale {

template <class Isa, CacheType type, int M>
void attendSome(const CachedHead& head, const VisibleRange& see, const float* queries, float* scores, float* out, Prefetch& prefetch) {
  if constexpr (type == CacheType::int8) attendBytes<Isa, M>(head, see, queries, scores, out, prefetch);
  else attendHeads<Isa, type, M>(head, see, queries, scores, out, prefetch);
  // A fault is never rounded away, nor lost in a softmax.
  for (size_t at = 0; at < M * head.headDim; at += head.headDim)
    if (!finite<Isa>(queries + at, head.headDim))
      for (size_t d = 0; d < head.headDim; d++) out[at + d] = std::numeric_limits<float>::quiet_NaN();
}

template <class Isa, CacheType type>
void attendTyped(const CachedHead& head, const VisibleRange& see, const float* queries, size_t groups, float* scores, float* out,
                 Prefetch& prefetch) {
  // Bytes have two sums where floats have one.
  constexpr int most = Isa::accumulators >= 16 ? 8 : type == CacheType::int8 ? 3 : 4;
  const size_t D = head.headDim;
  size_t g = 0;
  for (; g + most <= groups; g += most) attendSome<Isa, type, most>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g + 3 <= groups; g += 3) attendSome<Isa, type, 3>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g + 2 <= groups; g += 2) attendSome<Isa, type, 2>(head, see, queries + g * D, scores, out + g * D, prefetch);
  for (; g < groups; g++) attendSome<Isa, type, 1>(head, see, queries + g * D, scores, out + g * D, prefetch);
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
