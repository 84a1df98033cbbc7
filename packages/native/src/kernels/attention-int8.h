// Attention over keys and values of 8 bits, in integers: part of templates.h.
//
// CPUs multiply bytes four times as fast as floats, and bytes need not be made floats first. Queries and attention weights are rounded to
// 14 bits, 64 times finer than the keys and values that they meet, and stand in two bytes: high * 128 + low. Their products with bytes
// are summed up apart, exactly and so in any order, and put together as floats.
#pragma once
#include <utility>

#include "kernels.h"

namespace parscale {

// Both bytes are at most 64, with which no set's product of bytes overflows.
constexpr float longest = 64 * 128;

// M rows of numbers that meet bytes, in their order. These bytes are unsigned, by 128 too large: `sums`, of high and of low, make up for it.
template <int M, size_t room>
struct LongRows {
  alignas(64) int8_t high[M][room], low[M][room];
  int32_t sums[M][2];
  float scales[M];
};

// Rounds n finite numbers of a row, a multiple of 16, which `load` gives 16 at a time.
template <class Isa, int M, size_t room, class Load>
void roundRow(size_t n, Load load, LongRows<M, room>& rows, int row) {
  auto largest = Isa::set(0);
  for (size_t i = 0; i < n; i += lanes) largest = Isa::max(Isa::abs(load(i)), largest);
  const float extreme = Isa::largest(largest);
  const auto factor = Isa::set(extreme > 0 ? longest / extreme : 0);
  auto high = Isa::start(0), low = Isa::start(0);
  for (size_t i = 0; i < n; i += lanes) {
    const auto rounded = Isa::round(Isa::mul(load(i), factor));
    const auto upper = Isa::round(Isa::mul(rounded, Isa::set(1.0f / 128)));
    high = Isa::addIntegers(high, Isa::roundToBytes(upper, rows.high[row] + i));
    low = Isa::addIntegers(low, Isa::roundToBytes(Isa::fma(upper, Isa::set(-128), rounded), rows.low[row] + i));
  }
  rows.sums[row][0] = Isa::sumOfIntegers(high);
  rows.sums[row][1] = Isa::sumOfIntegers(low);
  rows.scales[row] = extreme / longest;
}

// f(0) to f(M - 1), written out: sums in an array stay in registers only where its places are known before anything else is optimised.
template <class F, int... G>
[[gnu::always_inline]] inline void eachOf(std::integer_sequence<int, G...>, F f) {
  (f(G), ...);
}

// Products of 16 times n bytes, [n / 4][16][4] whose groups are `stride` apart, with n numbers of each row: floats that lack the row's scale.
template <class Isa, int M, size_t room, class Ask>
[[gnu::always_inline]] inline void productOfBytes(const uint8_t* bytes, size_t stride, size_t n, const LongRows<M, room>& rows, Ask ask,
                                                  typename Isa::Floats* out) {
  constexpr int32_t zero = 128 - Isa::cachedShift;
  constexpr std::make_integer_sequence<int, M> all;
  typename Isa::Sums high[M], low[M];
  eachOf(all, [&](int g) __attribute__((always_inline)) {
    high[g] = Isa::start(-zero * rows.sums[g][0]);
    low[g] = Isa::start(-zero * rows.sums[g][1]);
  });
  for (size_t k = 0; k < n; k += 4, bytes += stride) {
    ask(bytes);
    const auto cached = Isa::cached8(bytes);
    eachOf(all, [&](int g) __attribute__((always_inline)) {
      high[g] = Isa::dotCached(high[g], cached, rows.high[g] + k);
      low[g] = Isa::dotCached(low[g], cached, rows.low[g] + k);
    });
  }
  eachOf(all, [&](int g) __attribute__((always_inline)) { out[g] = Isa::fma(Isa::toFloats(high[g]), Isa::set(128), Isa::toFloats(low[g])); });
}

template <class Isa, int M, size_t room>
void scoreTileOfBytes(const CachedHead& head, const VisibleRange& see, size_t tile, const LongRows<M, room>& queries, float* scores,
                      Prefetch& prefetch) {
  const size_t within = tile % tilesOfPage;
  const uint8_t* page = head.pages[tile / tilesOfPage];
  const ptrdiff_t ahead = nextPage(head, see, tile / tilesOfPage) - page;
  typename Isa::Floats products[M];
  productOfBytes<Isa>(page + head.keys + within * head.keyStride() * lanes, 4 * lanes, head.keyStride(), queries,
                      [&](const uint8_t* keys) __attribute__((always_inline)) {
                        prefetchLine<Isa>(prefetch);
                        Isa::prefetch(keys + ahead);
                      },
                      products);
  const uint8_t* scales = page + head.keyScales + within * lanes * sizeof(float);
  Isa::prefetch(scales + ahead);
  const auto scale = Isa::load(reinterpret_cast<const float*>(scales));
  for (int g = 0; g < M; g++) Isa::store(scores + g * lanes, Isa::mul(products[g], Isa::mul(scale, Isa::set(queries.scales[g]))));
  hideUnseen<Isa, M>(see, tile, scores);
}

// Values times weights [tile][M][16], page by page: the weights of a page are rounded together.
template <class Isa, int M>
void mixBytes(const CachedHead& head, const VisibleRange& see, const float* attention, const float* sums, float* out, Prefetch& prefetch) {
  const size_t D = head.headDim, stride = head.valueStride(), tiles = (see.end + lanes - 1) / lanes;
  alignas(64) float mixed[M * largestHead];
  std::memset(mixed, 0, M * stride * sizeof(float));
  LongRows<M, pagePositions> weights;
  for (size_t first = 0; first < tiles; first += tilesOfPage) {
    const size_t some = tiles - first < tilesOfPage ? tiles - first : tilesOfPage;
    bool visited[tilesOfPage], any = false;
    for (size_t t = 0; t < some; t++) any |= visited[t] = isVisited(see, first + t);
    if (!any) continue;
    for (int g = 0; g < M; g++) {
      const auto load = [&](size_t i) {
        return visited[i / lanes] ? Isa::load(attention + ((first + i / lanes) * M + size_t(g)) * lanes) : Isa::set(0);
      };
      roundRow<Isa>(some * lanes, load, weights, g);
    }
    const uint8_t* page = head.pages[first / tilesOfPage];
    const ptrdiff_t ahead = nextPage(head, see, first / tilesOfPage) - page;
    for (size_t d = 0; d < stride; d += lanes) {
      typename Isa::Floats products[M];
      productOfBytes<Isa>(page + head.values + 4 * d, 4 * stride, some * lanes, weights,
                          [&](const uint8_t* values) __attribute__((always_inline)) {
                            prefetchLine<Isa>(prefetch);
                            Isa::prefetch(values + ahead);
                          },
                          products);
      for (int g = 0; g < M; g++) {
        float* to = mixed + size_t(g) * stride + d;
        Isa::store(to, Isa::fma(products[g], Isa::set(weights.scales[g]), Isa::load(to)));
      }
    }
  }
  for (int g = 0; g < M; g++)
    for (size_t d = 0; d < D; d += lanes)
      storeSome<Isa>(out + size_t(g) * D + d, Isa::div(Isa::load(mixed + size_t(g) * stride + d), Isa::set(sums[g])), D - d);
}

template <class Isa, int M>
void attendBytes(const CachedHead& head, const VisibleRange& see, const float* queries, float* scores, float* out, Prefetch& prefetch) {
  const size_t D = head.headDim;
  float sums[M];
  LongRows<M, largestHead> rows;
  for (int g = 0; g < M; g++) {
    const float* query = queries + size_t(g) * D;
    const bool good = finite<Isa>(query, D);
    roundRow<Isa>(head.valueStride(), [&](size_t d) { return good ? loadSome<Isa>(query + d, D - d) : Isa::set(0); }, rows, g);
  }
  eachTile(see, [&](size_t tile) { scoreTileOfBytes<Isa>(head, see, tile, rows, scores + tile * M * lanes, prefetch); });
  attentionWeights<Isa, CacheType::int8, M>(head, see, scores, sums);
  mixBytes<Isa, M>(head, see, scores, sums, out, prefetch);
}

}  // namespace parscale
