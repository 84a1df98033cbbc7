// Every kernel of every instruction set that this CPU has, against the portable ones, bit for bit.
//   kernels        prints the instruction sets, best first, then "bits" and a number that all CPUs share, then "ok" or what differed
//   kernels names  the instruction sets only
//   kernels WORDS  x64: prints what a CPU that says these words of itself would run (CpuWords, six numbers; a seventh: without permission for tiles)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../src/instruction-sets.h"
#if defined(__x86_64__)
#include "../src/instruction-sets-x64.h"
#endif

namespace parscale {
extern const Kernels portableKernels;
#if defined(__x86_64__)
extern const Kernels avx2Kernels, avxVnniInWordsKernels;
#endif
}  // namespace parscale

namespace {

using namespace parscale;

// xorshift: the same numbers with any library.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }
  // In -1 .. 1.
  float uniform() { return float(int32_t(next())) * 0x1p-31f; }
  std::vector<float> floats(size_t n, float size = 1) {
    std::vector<float> x(n);
    for (float& v : x) v = uniform() * size;
    return x;
  }

 private:
  uint32_t state_;
};

// Memory that begins at a multiple of 64, as the packed file's tensors and the cache's pages do.
class Aligned {
 public:
  explicit Aligned(size_t bytes) : memory_(bytes + 64) {}
  uint8_t* data() { return memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64; }

 private:
  std::vector<uint8_t> memory_;
};

using Words = std::vector<uint32_t>;

void append(Words& to, const float* x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    // The bits of a NaN are the CPU's own affair.
    to.push_back(std::isnan(x[i]) ? 0x7fc00000u : bits);
  }
}

struct Case {
  std::string what;
  std::function<Words(const Kernels&)> run;
};

// ---- products ----

// Whether the results of `panels` panels [panels][room][16] are what the kernels put where they belong by themselves: with a bias, and added to what
// is there or not.
bool putsTheSame(const ManyRows& many, const Matrix& m, size_t panel, size_t panels, const std::vector<Tile>& tiles, size_t rows, size_t room, const float* results) {
  const size_t width = panels * lanes, stride = width + 3;
  Random random{uint32_t(rows)};
  const std::vector<float> bias = random.floats(width, 1), before = random.floats(rows * stride, 1);
  Aligned spare(many.panelsAtOnce * room * lanes * 4);
  for (const bool add : {false, true})
    for (const float* by : {static_cast<const float*>(nullptr), bias.data()}) {
      std::vector<float> after = before;
      if (!many.product(m, panel, tiles.data(), tiles.size(), false, {after.data(), stride, true, add, by}, reinterpret_cast<float*>(spare.data()))) continue;
      std::vector<float> expected = before;
      for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < width; i++) {
          float y = results[(i / lanes * room + row) * lanes + i % lanes];
          if (by) y += by[i];
          expected[row * stride + i] = add ? before[row * stride + i] + y : y;
        }
      Words got, wanted;
      append(got, after.data(), after.size());
      append(wanted, expected.data(), expected.size());
      if (got != wanted) return false;
    }
  return true;
}

// Rows of inputs, put into a tile and multiplied with a matrix of 40 outputs, whose last panel is not full. With a `byte`, all integers of the weights are
// of it, and inputs the largest or smallest, row by row.
Words product(const Kernels& kernels, Matrix m, size_t rows, uint32_t seed, int byte = -1) {
  Random random(seed);
  m.outputs = 40;
  Aligned weights(m.panels() * m.panelBytes());
  m.data = weights.data();
  for (size_t i = 0; i < m.panels() * m.panelBytes(); i++) weights.data()[i] = byte < 0 ? uint8_t(random.next() >> 8) : uint8_t(byte);
  const auto put = [&](size_t at, float x) { std::memcpy(weights.data() + at, &x, sizeof x); };
  if (m.format == Format::f32)
    for (size_t at = 0; at < m.panels() * m.panelBytes(); at += 4) put(at, random.uniform());
  if (m.format == Format::bf16)  // exponents of -64 to 63
    for (size_t at = 1; at < m.panels() * m.panelBytes(); at += 2) weights.data()[at] = uint8_t((weights.data()[at] & 0x80) | 0x3f);
  if (m.quantised())
    for (size_t record = 0; record < m.panels() * m.panelBytes(); record += m.recordBytes())
      for (size_t at = 0; at < (m.hasMinima ? 128 : 64); at += 4) put(record + at, random.uniform());

  std::vector<float> x = random.floats(rows * m.inputs, 3);
  for (size_t i = 0; byte >= 0 && i < x.size(); i++) x[i] = i / m.inputs % 2 == 0 ? 1.0f : -1.0f;
  const size_t blocks = m.quantised() ? m.inputs / m.blockSize : 1;
  // Which rows share a tile makes no difference.
  const ManyRows* many = m.quantised() && kernels.manyRows && kernels.manyRows->takes(m.blockSize) ? kernels.manyRows : nullptr;
  const size_t tileRows = many ? many->tileRows : kernels.tileRows, step = many ? many->roomStep : 1;
  const size_t room = (rows + step - 1) / step * step;
  Aligned floats(room * m.inputs * 4), integers(room * m.inputs), scales(room * blocks * 4), sums(room * blocks * 4);
  std::vector<Tile> tiles;
  Prefetch none;
  for (size_t from = 0; from < rows; from += tileRows) {
    Tile tile;
    tile.rows = std::min(tileRows, rows - from);
    tile.room = std::min(tileRows, room - from);
    if (many) tile.width = many->width;
    tile.floats = reinterpret_cast<float*>(floats.data()) + from * m.inputs;
    tile.integers = reinterpret_cast<int8_t*>(integers.data()) + from * m.inputs;
    tile.scales = reinterpret_cast<float*>(scales.data()) + from * blocks;
    tile.sums = reinterpret_cast<int32_t*>(sums.data()) + from * blocks;
    for (size_t row = 0; row < tile.rows; row++)
      kernels.fillTile(&x[(from + row) * m.inputs], m.inputs, m.quantised() ? m.blockSize : 0, tile, row, none);
    tiles.push_back(tile);
  }

  std::vector<Words> outputs(rows);
  for (size_t panel = 0; many && panel < m.panels(); panel += many->panelsAtOnce) {
    Aligned out(many->panelsAtOnce * room * lanes * 4);
    many->product(m, panel, tiles.data(), tiles.size(), false, Destination(), reinterpret_cast<float*>(out.data()));
    // The last panel has eight outputs only, which kernels do not see.
    if (!putsTheSame(*many, m, panel, std::min(many->panelsAtOnce, m.panels() - panel), tiles, rows, room, reinterpret_cast<float*>(out.data()))) return {};
    for (size_t p = 0; p < many->panelsAtOnce && panel + p < m.panels(); p++)
      for (size_t row = 0; row < rows; row++)
        append(outputs[row], reinterpret_cast<float*>(out.data()) + (p * room + row) * lanes, lanes);
  }
  for (size_t t = 0; !many && t < tiles.size(); t++)
    for (size_t panel = 0; panel < m.panels(); panel++) {
      alignas(64) float out[16 * lanes];
      kernels.product(m, panel, tiles[t], 0, out);
      for (size_t row = 0; row < tiles[t].rows; row++) append(outputs[t * tileRows + row], out + row * lanes, lanes);
    }

  Words words;
  for (size_t row = 0; row < rows; row++) {
    words.insert(words.end(), outputs[row].begin(), outputs[row].end());
    if (!m.quantised()) continue;
    const Tile& tile = tiles[row / tileRows];
    const size_t within = row % tileRows;
    for (size_t b = 0; b < blocks; b++) {
      append(words, tile.scales + b * tile.room + within, 1);
      words.push_back(uint32_t(tile.sums[b * tile.room + within]));
    }
    for (size_t k = 0; k < m.inputs; k++)
      words.push_back(uint32_t(tile.integers[(k / tile.width * tile.room + within) * tile.width + k % tile.width]));
  }
  return words;
}

void addProducts(std::vector<Case>& cases) {
  const auto add = [&](const char* name, Format format, uint32_t inputs, uint32_t blockSize, bool minima) {
    Matrix m;
    m.format = format;
    m.inputs = inputs;
    m.blockSize = blockSize;
    m.hasMinima = minima;
    for (size_t rows = 1; rows <= 17; rows++)
      cases.push_back({std::string(name) + " product of " + std::to_string(rows) + " rows, blocks of " + std::to_string(blockSize),
                       [=](const Kernels& k) { return product(k, m, rows, uint32_t(rows + blockSize)); }});
  };
  add("f32", Format::f32, 200, 0, false);
  add("bf16", Format::bf16, 300, 0, false);
  for (const bool minima : {false, true}) {
    for (const uint32_t blockSize : {16, 32, 128, 256}) {
      add("int8", Format::int8, 256, blockSize, minima);
      add("int4", Format::int4, 256, blockSize, minima);
    }
  }
  // The largest integers on both sides: nothing may be cut off on the way to 32 bits.
  cases.push_back({"the largest sums", [](const Kernels& k) {
    Words words;
    for (const Format format : {Format::int8, Format::int4}) {
      Matrix m;
      m.format = format;
      m.outputs = 16;
      m.inputs = m.blockSize = 4096;
      Aligned weights(m.panelBytes());
      m.data = weights.data();
      const float one = 1;
      for (const int byte : {0, 255}) {
        std::memset(weights.data(), byte, m.panelBytes());
        for (size_t lane = 0; lane < lanes; lane++) std::memcpy(weights.data() + lane * 4, &one, 4);
        for (const float sign : {-1.0f, 1.0f}) {
          const std::vector<float> x(m.inputs, sign);
          Aligned integers(m.inputs);
          float scale;
          int32_t sum;
          Tile tile;
          tile.rows = tile.room = 1;
          tile.integers = reinterpret_cast<int8_t*>(integers.data());
          tile.scales = &scale;
          tile.sums = &sum;
          Prefetch none;
          k.fillTile(x.data(), m.inputs, m.blockSize, tile, 0, none);
          alignas(64) float out[lanes];
          k.product(m, 0, tile, 0, out);
          append(words, out, lanes);
        }
      }
    }
    return words;
  }});
  cases.push_back({"inputs that are not finite", [](const Kernels& k) {
    Words words;
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> x = Random(3).floats(64);
      x[37] = bad;
      Aligned integers(64);
      float scales[2];
      int32_t sums[2];
      Tile tile;
      tile.rows = tile.room = 1;
      tile.integers = reinterpret_cast<int8_t*>(integers.data());
      tile.scales = scales;
      tile.sums = sums;
      Prefetch none;
      k.fillTile(x.data(), 64, 32, tile, 0, none);
      append(words, scales, 2);
    }
    return words;
  }});
}

// Where kernels for many rows begin, and where their tiles end: for CPUs that have such.
void addManyRows(std::vector<Case>& cases) {
  for (const Format format : {Format::int8, Format::int4})
    for (const bool minima : {false, true})
      for (const uint32_t blockSize : {32, 64, 128, 256, 512})
        for (const size_t rows : {26, 27, 28, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80}) {
          Matrix m;
          m.format = format;
          m.inputs = 1536 + (blockSize < 512 ? blockSize : 0);
          m.blockSize = blockSize;
          m.hasMinima = minima;
          const std::string name =
              std::string(format == Format::int8 ? "int8" : "int4") + " product of " + std::to_string(rows) + " rows, blocks of " + std::to_string(blockSize);
          cases.push_back({name, [=](const Kernels& k) { return product(k, m, rows, uint32_t(rows + blockSize)); }});
          for (const int byte : {0, 255})
            if (rows == 33) cases.push_back({name + ", the largest", [=](const Kernels& k) { return product(k, m, rows, 1, byte); }});
        }
}

// ---- low ranks ----

// Random numbers of a format, 16 a line.
void fillWeights(Random& random, Format format, uint8_t* to, size_t bytes) {
  for (size_t at = 0; at < bytes; at += format == Format::f32 ? 4 : 2) {
    const float x = random.uniform();
    // The upper half of a float32 is a bfloat16.
    if (format == Format::f32) std::memcpy(to + at, &x, 4);
    else std::memcpy(to + at, reinterpret_cast<const uint8_t*>(&x) + 2, 2);
  }
}

void addLowRanks(std::vector<Case>& cases) {
  for (const Format format : {Format::f32, Format::bf16}) {
    const std::string name = format == Format::f32 ? "f32" : "bf16";
    for (const size_t outputs : {1, 2, 3, 4, 7, 12, 24})
      for (const size_t inputs : {1, 15, 16, 40, 1536})
        cases.push_back({name + " A of " + std::to_string(outputs) + " x " + std::to_string(inputs), [=](const Kernels& k) {
          Random random{uint32_t(outputs * 4096 + inputs)};
          RankMatrix a{nullptr, format, outputs, inputs};
          Aligned memory(a.bytes());
          fillWeights(random, format, memory.data(), a.bytes());
          a.data = memory.data();
          const std::vector<float> x = random.floats(inputs, 3);
          std::vector<float> out(outputs);
          k.rankProduct(a, x.data(), out.data());
          Words words;
          append(words, out.data(), outputs);
          return words;
        }});
    for (const size_t rank : {0, 1, 4, 8, 17})
      for (int parts = 0; parts < 4; parts++)
        cases.push_back({name + " adapters of rank " + std::to_string(rank) + ", parts " + std::to_string(parts), [=](const Kernels& k) {
          Random random{uint32_t(rank * 8 + size_t(parts))};
          constexpr size_t rows = 9, adapters = 4;
          const size_t step = (rank * lanes * 4 + 63) / 64 * 64;
          Aligned up(adapters * step + 64), scale(adapters * 64), bias(adapters * 64);
          fillWeights(random, format, up.data(), adapters * step);
          fillWeights(random, Format::f32, scale.data(), adapters * 64);
          fillWeights(random, Format::f32, bias.data(), adapters * 64);
          const uint32_t numbers[rows] = {1, 2, 3, 0, 1, 1, 0, 3, 2};
          const std::vector<float> low = random.floats(rows * (rank + 1));
          std::vector<float> y = random.floats(rows * lanes);
          PanelAdapters at;
          at.numbers = numbers;
          if (parts & 1) at.scale = {scale.data(), 64};
          if (parts & 2) at.bias = {bias.data(), 64};
          if (rank > 0) at.up = {up.data(), step};
          at.format = format;
          at.rank = rank;
          at.low = low.data();
          at.lowStride = rank + 1;
          k.adaptPanel(at, rows, y.data());
          Words words;
          append(words, y.data(), y.size());
          return words;
        }});
  }
}

// ---- row by row ----

void addRows(std::vector<Case>& cases) {
  const auto add = [&](const char* name, auto run) {
    for (const size_t n : {1, 15, 16, 17, 40, 128, 1000})
      cases.push_back({std::string(name) + " of " + std::to_string(n), [=](const Kernels& k) {
        Random random{uint32_t(n)};
        // Wide enough for exponentials to reach their limits.
        std::vector<float> x = random.floats(n, 120), y = random.floats(2 * n);
        x[n / 2] = 0;
        run(k, x, y, n);
        Words words;
        append(words, x.data(), x.size());
        return words;
      }});
  };
  using Floats = std::vector<float>;
  add("rmsNorm", [](const Kernels& k, Floats& x, Floats& y, size_t n) { k.rmsNorm(x.data(), y.data(), n, 1e-6f, x.data()); });
  add("silu", [](const Kernels& k, Floats& x, Floats&, size_t n) { k.silu(x.data(), n); });
  add("siluTimes", [](const Kernels& k, Floats& x, Floats& y, size_t n) {
    Prefetch prefetch{reinterpret_cast<const uint8_t*>(y.data()), reinterpret_cast<const uint8_t*>(y.data() + n)};
    k.siluTimes(x.data(), y.data(), n, prefetch);
  });
  add("softmax", [](const Kernels& k, Floats& x, Floats&, size_t n) { k.softmax(x.data(), n); });
  // With a number that is none among them, every other time.
  for (const size_t n : {1, 15, 16, 17, 40, 255, 256, 257, 5000})
    for (const bool whole : {true, false})
      cases.push_back({"sumPowers of " + std::to_string(n) + (whole ? "" : ", not finite"), [=](const Kernels& k) {
        Random random{uint32_t(n)};
        std::vector<float> x = random.floats(n, 120);
        if (!whole) x[n / 2] = n % 2 == 0 ? NAN : INFINITY;
        double out[2];
        k.sumPowers(x.data(), n, out);
        Words words;
        for (const double number : out) {
          uint64_t bits;
          std::memcpy(&bits, &number, sizeof bits);
          if (std::isnan(number) == whole) bits = 0;
          if (!whole) bits = 1;
          words.push_back(uint32_t(bits));
          words.push_back(uint32_t(bits >> 32));
        }
        return words;
      }});
  add("rotate", [](const Kernels& k, Floats& x, Floats& y, size_t n) {
    x.insert(x.end(), x.rbegin(), x.rend());
    k.rotate(x.data(), y.data(), y.data() + n, n);
  });
}

// ---- cache ----

// What the cache keeps of a vector.
std::vector<float> kept(CacheType type, const std::vector<float>& x, bool good) {
  std::vector<float> y(x.size(), 0);
  if (!good) return y;
  if (type != CacheType::int8) return x;
  float extreme = 0;
  for (const float v : x) extreme = std::max(extreme, std::fabs(v));
  if (extreme > 0)
    for (size_t i = 0; i < x.size(); i++) y[i] = std::nearbyint(x[i] * (127 / extreme)) * (extreme / 127);
  return y;
}

// Attention of one query in double precision.
std::vector<double> exactAttention(const std::vector<std::vector<float>>& keys, const std::vector<std::vector<float>>& values,
                                   const VisibleRange& see, const float* query) {
  std::vector<double> scores(see.end, -1e300);
  double top = -1e300, sum = 0;
  for (size_t p = 0; p < see.end; p++) {
    if (p >= see.prefix && p < see.first) continue;
    scores[p] = p < see.prefix ? double(see.prefixScore) : 0;
    for (size_t d = 0; d < keys[p].size(); d++) scores[p] += double(query[d]) * double(keys[p][d]);
    top = std::max(top, scores[p]);
  }
  std::vector<double> out(values[0].size(), 0);
  for (size_t p = 0; p < see.end; p++) {
    const double weight = std::exp(scores[p] - top);
    sum += weight;
    for (size_t d = 0; d < out.size(); d++) out[d] += weight * double(values[p][d]);
  }
  for (double& v : out) v /= sum;
  return out;
}

// The largest difference from exact attention, as a share of the largest value, where the cache keeps floats as they are or 8 bits.
double attentionError = 0, attentionErrorOfBytes = 0;
bool faultsAreKept = true;

// 150 positions of a head are appended, then seen through windows and behind prefixes by several queries.
Words attention(const Kernels& kernels, CacheType type, size_t headDim, size_t groups) {
  constexpr size_t positions = 150, pages = 3;
  Random random(uint32_t(headDim * 8 + groups));
  CachedHead head;
  head.type = type;
  head.headDim = headDim;
  // Room for floats is room for all.
  const size_t keys = pagePositions * head.keyStride() * 4, values = pagePositions * head.valueStride() * 4, scales = pagePositions * 4;
  const size_t pageBytes = (keys + values + 2 * scales + 63) / 64 * 64;
  Aligned memory(pages * pageBytes);
  std::memset(memory.data(), 0, pages * pageBytes);
  std::vector<uint8_t*> pageTable;
  for (size_t page = 0; page < pages; page++) pageTable.push_back(memory.data() + page * pageBytes);
  head.pages = pageTable.data();
  head.values = keys;
  head.keyScales = keys + values;
  head.valueScales = keys + values + scales;

  Words words;
  std::vector<std::vector<float>> keptKeys, keptValues;
  float largest = 0;
  for (size_t position = 0; position < positions; position++) {
    std::vector<float> key = random.floats(headDim), value = random.floats(headDim, 1e-6f * float(position));
    if (position == 77) value[0] = NAN;
    words.push_back(kernels.appendKv(head, position, key.data(), value.data()));
    keptKeys.push_back(kept(type, key, position != 77));
    keptValues.push_back(kept(type, value, position != 77));
    for (const float v : keptValues.back()) largest = std::max(largest, std::fabs(v));
  }
  for (size_t i = 0; i < pages * pageBytes; i += 4) {
    uint32_t word;
    std::memcpy(&word, memory.data() + i, sizeof word);
    words.push_back(word);
  }
  const std::vector<float> queries = random.floats(groups * headDim);
  std::vector<float> scores(groups * 160), out(groups * headDim);
  Prefetch none;
  for (const VisibleRange see : {VisibleRange{0, 0, 1, 0}, {0, 0, 16, 0}, {0, 0, positions, 0}, {48, 48, positions, -0.7f}, {5, 5, 90, 0.3f},
                            {5, 70, positions, 1}, {0, 100, 131, 0}, {20, 25, 30, -2}}) {
    kernels.attend(head, see, queries.data(), groups, scores.data(), out.data(), none);
    append(words, out.data(), out.size());
    if (type == CacheType::f16) continue;
    double& error = type == CacheType::int8 ? attentionErrorOfBytes : attentionError;
    for (size_t g = 0; g < groups; g++) {
      const auto exact = exactAttention(keptKeys, keptValues, see, &queries[g * headDim]);
      for (size_t d = 0; d < headDim; d++) error = std::max(error, std::fabs(exact[d] - double(out[g * headDim + d])) / double(largest));
    }
  }
  // A query that is not finite is not rounded away.
  std::vector<float> bad = queries;
  bad[headDim - 1] = NAN;
  kernels.attend(head, {0, 0, positions, 0}, bad.data(), groups, scores.data(), out.data(), none);
  faultsAreKept = faultsAreKept && std::isnan(out[0]);
  return words;
}

void addAttention(std::vector<Case>& cases) {
  const char* names[] = {"f32", "f16", "int8"};
  for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::int8})
    for (const size_t headDim : {2, 24, 64, 128, 256})
      for (const size_t groups : {1, 2, 3, 4, 7, 8, 9, 16})
        cases.push_back({std::string(names[size_t(type)]) + " attention, " + std::to_string(groups) + " heads of " + std::to_string(headDim),
                         [=](const Kernels& k) { return attention(k, type, headDim, groups); }});
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<const Kernels*> all = availableKernels();
#if defined(__x86_64__)
  const auto word = [&](int i) { return unsigned(std::strtoul(arguments[i], nullptr, 0)); };
  if (count >= 7) all = kernelsFor({word(1), word(2), word(3), word(4), word(5), word(6)}, count == 7);
#endif
  for (const Kernels* kernels : all) std::puts(kernels->name);
  if (count > 1) return 0;
#if defined(__x86_64__)
  if (std::count(all.begin(), all.end(), &avx2Kernels) > 0) all.push_back(&avxVnniInWordsKernels);
#endif
  std::vector<Case> cases;
  addProducts(cases);
  addLowRanks(cases);
  addRows(cases);
  addAttention(cases);
  uint64_t bits = 0xcbf29ce484222325;  // FNV-1a
  bool good = true;
  const auto compare = [&](const Case& one) {
    const Words expected = one.run(portableKernels);
    for (const Kernels* kernels : all) {
      if (one.run(*kernels) == expected) continue;
      std::printf("%s: other bits in %s\n", kernels->name, one.what.c_str());
      good = false;
    }
    return expected;
  };
  for (const Case& one : cases)
    for (const uint32_t word : compare(one)) bits = (bits ^ word) * 0x100000001b3;
  std::vector<Case> many;
  if (std::any_of(all.begin(), all.end(), [](const Kernels* each) { return each->manyRows; })) addManyRows(many);
  for (const Case& one : many) compare(one);
  if (attentionError > 1e-5 || attentionErrorOfBytes > 1e-3 || !faultsAreKept) {
    std::printf("attention is off by %.2g, over 8 bits by %.2g; NaN is %s\n", attentionError, attentionErrorOfBytes, faultsAreKept ? "kept" : "lost");
    good = false;
  }
  std::printf("bits %016llx\n", static_cast<unsigned long long>(bits));
  if (good) std::puts("ok");
  return good ? 0 : 1;
}
