// The kernels, for registers of LANES floats. Included by one file for each instruction set, which defines LANES, TILE_ROWS and the name of
// a namespace, KERNELS; all has internal linkage, as the same templates compiled for another instruction set must not be taken for these.
#include <cmath>
#include <cstring>

#include "graph-kernels.h"

namespace parscale {
namespace {
namespace KERNELS {

typedef float V __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
constexpr size_t L = LANES;
constexpr size_t MR = TILE_ROWS, NV = 2, NR = NV * L;

inline V load(const float* p) { return *reinterpret_cast<const V*>(p); }
inline void store(float* p, V v) { *reinterpret_cast<V*>(p) = v; }
inline V all(float x) { return x - V{}; }
inline V bits(I i) { V v; std::memcpy(&v, &i, sizeof v); return v; }
inline I bits(V v) { I i; std::memcpy(&i, &v, sizeof i); return i; }
// yes where the mask's lanes are -1, no where they are 0
inline V select(I mask, V yes, V no) { return bits((bits(yes) & mask) | (bits(no) & ~mask)); }

// e^x within 2 units of the last place, and 0 below e^-86.5: x = n ln 2 + r, e^r by its series' best polynomial (Cephes).
inline V exp(V x) {
  // Below `low` it is 0: what comes near the smallest number takes a processor a hundred times as long.
  const V high = all(88.8f), low = all(-86.5f);
  const I under = x < low;
  x = select(x > high, high, x);
  x = select(under, low, x);
  V n = x * 1.44269504088896341f;
  // To the nearest whole number, by an addition that leaves no fraction.
  const V magic = all(12582912.f);
  n = (n + magic) - magic;
  V r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  V p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  // 2^(n - 1) and once more 2: the largest n alone would be infinite.
  const I power = (__builtin_convertvector(n, I) + 126) << 23;
  return select(under, V{}, p * bits(power) * 2.f);
}

inline V log(V x) {
  const I zero = x == all(0.f), bad = x < all(0.f), infinite = x == all(INFINITY);
  const I subnormal = x < all(1.17549435e-38f);
  V y = select(subnormal, x * 8388608.f, x);
  const I b = bits(y);
  V e = __builtin_convertvector((b >> 23) - 126, V) - select(subnormal, all(23.f), V{});
  V m = bits((b & 0x007fffff) | 0x3f000000);  // [0.5, 1)
  const I small = m < all(0.707106781186547524f);
  e = e - select(small, all(1.f), V{});
  m = m + select(small, m, V{}) - 1.f;
  const V z = m * m;
  V p = all(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  V r = p * m * z;
  r = r + e * -2.12194440e-4f;
  r = r - z * 0.5f;
  r = m + r + e * 0.693359375f;
  r = select(zero, all(-INFINITY), r);
  r = select(infinite, x, r);
  return select(bad | (x != x), all(NAN), r);
}

inline V sqrt(V x) {
  V y;
  for (size_t i = 0; i < L; i++) y[i] = std::sqrt(x[i]);
  return y;
}

inline V sigmoid(V x) { return 1.f / (1.f + exp(-x)); }

inline V tanh(V x) {
  const V a = bits(bits(x) & 0x7fffffff);
  const V z = x * x;
  V p = all(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const V near = p * z * x + x;
  const V far = 1.f - 2.f / (exp(a + a) + 1.f);
  return select(a < all(0.625f), near, bits(bits(far) | (bits(x) & int32_t(0x80000000))));
}

template <class F>
void eachElement(const float* a, size_t n, float* out, F f) {
  size_t i = 0;
  for (; i + L <= n; i += L) store(out + i, f(load(a + i)));
  if (i < n) {
    float rest[L] = {};
    std::memcpy(rest, a + i, (n - i) * 4);
    store(rest, f(load(rest)));
    std::memcpy(out + i, rest, (n - i) * 4);
  }
}

void unary(Op op, const float* a, size_t n, float* out) {
  switch (op) {
    case Op::neg: return eachElement(a, n, out, [](V x) { return -x; });
    case Op::exp: return eachElement(a, n, out, [](V x) { return exp(x); });
    case Op::log: return eachElement(a, n, out, [](V x) { return log(x); });
    case Op::sqrt: return eachElement(a, n, out, [](V x) { return sqrt(x); });
    case Op::sigmoid: return eachElement(a, n, out, [](V x) { return sigmoid(x); });
    case Op::tanh: return eachElement(a, n, out, [](V x) { return tanh(x); });
    case Op::reciprocal: return eachElement(a, n, out, [](V x) { return 1.f / x; });
    case Op::abs: return eachElement(a, n, out, [](V x) { return bits(bits(x) & 0x7fffffff); });
    default: return eachElement(a, n, out, [](V x) { return x; });
  }
}

template <class F>
void pairs(Meeting meeting, const float* a, const float* b, Block block, float* out, F f) {
  const size_t C = block.columns, n = block.rows * C;
  switch (meeting) {
    case Meeting::elements: {
      size_t i = 0;
      for (; i + L <= n; i += L) store(out + i, f(load(a + i), load(b + i)));
      if (i < n) {
        float x[L] = {}, y[L] = {};
        std::memcpy(x, a + i, (n - i) * 4);
        std::memcpy(y, b + i, (n - i) * 4);
        store(x, f(load(x), load(y)));
        std::memcpy(out + i, x, (n - i) * 4);
      }
      return;
    }
    case Meeting::secondRow:
      for (size_t r = 0; r < block.rows; r++) {
        const V y = all(b[r]);
        eachElement(a + r * C, C, out + r * C, [&](V x) { return f(x, y); });
      }
      return;
    case Meeting::firstRow:
      for (size_t r = 0; r < block.rows; r++) {
        const V x = all(a[r]);
        eachElement(b + r * C, C, out + r * C, [&](V y) { return f(x, y); });
      }
      return;
    case Meeting::secondOne: {
      const V y = all(*b);
      return eachElement(a, n, out, [&](V x) { return f(x, y); });
    }
    case Meeting::firstOne: {
      const V x = all(*a);
      return eachElement(b, n, out, [&](V y) { return f(x, y); });
    }
  }
}

void binary(Op op, Meeting meeting, const float* a, const float* b, Block block, float* out) {
  switch (op) {
    case Op::add: return pairs(meeting, a, b, block, out, [](V x, V y) { return x + y; });
    case Op::sub: return pairs(meeting, a, b, block, out, [](V x, V y) { return x - y; });
    case Op::mul: return pairs(meeting, a, b, block, out, [](V x, V y) { return x * y; });
    case Op::div: return pairs(meeting, a, b, block, out, [](V x, V y) { return x / y; });
    default: return pairs(meeting, a, b, block, out, [](V x, V y) { return select((x < y) | (x != x), x, y); });
  }
}

// Halves onto each other until one number is left.
template <size_t width, class F>
float folded(const float* x, F f) {
  if constexpr (width == 1) return *x;
  else {
    typedef float Half __attribute__((vector_size(width * 2), aligned(4), may_alias));
    float y[width / 2];
    *reinterpret_cast<Half*>(y) = f(*reinterpret_cast<const Half*>(x), *reinterpret_cast<const Half*>(x + width / 2));
    return folded<width / 2>(y, f);
  }
}

template <class F>
float folded(V v, F f) {
  float x[L];
  store(x, v);
  return folded<L>(x, f);
}

float rowSum(const float* a, size_t n) {
  V s[4] = {};
  size_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (size_t j = 0; j < 4; j++) s[j] += load(a + i + j * L);
  for (; i + L <= n; i += L) s[0] += load(a + i);
  float rest = 0;
  for (; i < n; i++) rest += a[i];
  return folded((s[0] + s[1]) + (s[2] + s[3]), [](auto x, auto y) { return x + y; }) + rest;
}

float rowSumSquare(const float* a, size_t n) {
  V s[4] = {};
  size_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (size_t j = 0; j < 4; j++) s[j] += load(a + i + j * L) * load(a + i + j * L);
  for (; i + L <= n; i += L) s[0] += load(a + i) * load(a + i);
  float rest = 0;
  for (; i < n; i++) rest += a[i] * a[i];
  return folded((s[0] + s[1]) + (s[2] + s[3]), [](auto x, auto y) { return x + y; }) + rest;
}

float rowMax(const float* a, size_t n) {
  V m = all(-INFINITY);
  size_t i = 0;
  for (; i + L <= n; i += L) {
    const V x = load(a + i);
    m = select((x > m) | (x != x), x, m);
  }
  float most = folded(m, [](auto x, auto y) { return ((x > y) | (x != x)) ? x : y; });
  for (; i < n; i++) most = a[i] > most || a[i] != a[i] ? a[i] : most;
  return most;
}

void reduce(Op op, const float* a, Block block, float* out) {
  for (size_t r = 0; r < block.rows; r++) {
    const float* row = a + r * block.columns;
    out[r] = op == Op::rowMax ? rowMax(row, block.columns) : op == Op::rowSum ? rowSum(row, block.columns) : rowSumSquare(row, block.columns);
  }
}

void addTo(float* onto, const float* x, size_t n) {
  size_t i = 0;
  for (; i + L <= n; i += L) store(onto + i, load(onto + i) + load(x + i));
  for (; i < n; i++) onto[i] += x[i];
}

void columnSum(const float* a, Block block, float* sums) {
  for (size_t r = 0; r < block.rows; r++) addTo(sums, a + r * block.columns, block.columns);
}

double sumSquares(const float* a, size_t n) { return rowSumSquare(a, n); }

void product(const float* __restrict a, const float* __restrict b, size_t K, bool onto, float* __restrict c, size_t stride) {
  V s[MR][NV] = {};
  for (size_t k = 0; k < K; k++, a += MR, b += NR) {
    V y[NV];
    for (size_t j = 0; j < NV; j++) y[j] = load(b + j * L);
#pragma GCC unroll 16
    for (size_t i = 0; i < MR; i++) {
      const V x = all(a[i]);
#pragma GCC unroll 4
      for (size_t j = 0; j < NV; j++) s[i][j] += x * y[j];
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (size_t j = 0; j < NV; j++) {
      float* at = c + i * stride + j * L;
      store(at, onto ? load(at) + s[i][j] : s[i][j]);
    }
}

void scaleOnto(const float* tile, float alpha, const float* onto, size_t ontoStride, Block block, float* c, size_t stride) {
  for (size_t r = 0; r < block.rows; r++, tile += NR, c += stride, onto += onto ? ontoStride : 0) {
    size_t i = 0;
    if (onto) {
      for (; i + L <= block.columns; i += L) store(c + i, load(tile + i) * alpha + load(onto + i));
      for (; i < block.columns; i++) c[i] = tile[i] * alpha + onto[i];
    } else {
      for (; i + L <= block.columns; i += L) store(c + i, load(tile + i) * alpha);
      for (; i < block.columns; i++) c[i] = tile[i] * alpha;
    }
  }
}

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// Four of the eight numbers of both.
template <int i, int j, int k, int l>
inline Four chosen(Four a, Four b) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, i, j, k, l);
#else
  typedef int32_t Indices __attribute__((vector_size(16)));
  return __builtin_shuffle(a, b, Indices{i, j, k, l});
#endif
}

// Four rows of four numbers, `stride` apart, as columns `width` apart.
inline void turn(const float* x, size_t stride, float* out, size_t width) {
  const auto row = [&](size_t i) { return *reinterpret_cast<const Four*>(x + i * stride); };
  const Four a = row(0), b = row(1), c = row(2), d = row(3);
  const Four ab = chosen<0, 4, 1, 5>(a, b), ab2 = chosen<2, 6, 3, 7>(a, b), cd = chosen<0, 4, 1, 5>(c, d), cd2 = chosen<2, 6, 3, 7>(c, d);
  const Four columns[] = {chosen<0, 1, 4, 5>(ab, cd), chosen<2, 3, 6, 7>(ab, cd), chosen<0, 1, 4, 5>(ab2, cd2), chosen<2, 3, 6, 7>(ab2, cd2)};
  for (size_t k = 0; k < 4; k++) *reinterpret_cast<Four*>(out + k * width) = columns[k];
}

template <size_t width>
void pack(const float* x, size_t iStride, size_t kStride, size_t have, size_t K, float* out) {
  if (have < width) std::memset(out, 0, K * width * 4);
  if (iStride == 1) {
    // A copy of a size that the compiler knows is a few instructions.
    if (have == width)
      for (size_t k = 0; k < K; k++) std::memcpy(out + k * width, x + k * kStride, width * 4);
    else
      for (size_t k = 0; k < K; k++) std::memcpy(out + k * width, x + k * kStride, have * 4);
    return;
  }
  const auto turnSlowly = [&](size_t from, size_t to, size_t first, size_t last) {
    for (size_t k = from; k < to; k++)
      for (size_t i = first; i < last; i++) out[k * width + i] = x[i * iStride + k * kStride];
  };
  const size_t fours = kStride == 1 ? have / 4 * 4 : 0;
  // Pieces that stay in the cache while they are turned.
  for (size_t from = 0; from < K; from += 16) {
    const size_t to = from + 16 < K ? from + 16 : K, whole = from + (to - from) / 4 * 4;
    for (size_t i = 0; i < fours; i += 4)
      for (size_t k = from; k < whole; k += 4) turn(x + i * iStride + k, iStride, out + k * width + i, width);
    turnSlowly(whole, to, 0, fours);
    turnSlowly(from, to, fours, have);
  }
}

void rotate(const float* x, const float* cos, const float* sin, size_t half, float* out) {
  for (size_t i = 0; i < half; i++) {
    const float a = x[i], b = x[i + half];
    out[i] = a * cos[i] - b * sin[i];
    out[i + half] = b * cos[i] + a * sin[i];
  }
}

void nothing() {}

constexpr GraphKernels table(const char* name) {
  return {name, MR, NR, 1, nothing, nothing, unary, binary, reduce, columnSum, sumSquares, product, scaleOnto, pack<MR>, pack<NR>, rotate, addTo};
}

}  // namespace KERNELS
}  // namespace
}  // namespace parscale
