// Packed files that are wrong in ways that a random change of bytes would not find: checksums agree, tables stay tables.
//   fuzz BACKBONE AGGREGATOR SCRATCH RUNS SEED: changes one of the files, writes it to SCRATCH, and opens and steps what can be
//   opened. Prints how many were opened and how many refused. To be run under sanitizers.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "../src/error.h"
#include "../src/instruction-sets.h"
#include "../src/step.h"
#include "step-input.h"

namespace {

using namespace parscale;
using Bytes = std::vector<uint8_t>;

// As packed-file.h has it.
constexpr size_t fixedHeader = 72, entryBytes = 40;

std::mt19937_64 random_;

size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

uint32_t u32(const Bytes& file, size_t at) {
  uint32_t x;
  std::memcpy(&x, &file[at], sizeof x);
  return x;
}
template <class T>
void put(Bytes& file, size_t at, T x) {
  if (at + sizeof x <= file.size()) std::memcpy(&file[at], &x, sizeof x);
}

Bytes read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

// Sizes near limits, near what stands there, or anything.
uint32_t number(uint32_t old) {
  static const uint32_t edges[] = {0, 1, 2, 3, 4, 8, 15, 16, 17, 24, 32, 64, 1024, 1025, 4096, 4097, 1u << 16, 1u << 17, 1u << 24, (1u << 24) + 1,
                                   0x7fffffff, 0x80000000, 0xffffffff};
  switch (below(5)) {
    case 0: return old + 1;
    case 1: return old - 1;
    case 2: return old * 2;
    case 3: return edges[below(std::size(edges))];
    default: return uint32_t(random_());
  }
}

uint64_t offset(const Bytes& file) {
  const uint64_t size = file.size();
  const uint64_t some[] = {0, 64, 4, size - 64, size, size + 64, uint64_t(1) << 63, ~uint64_t(63), below(size) / 64 * 64};
  return some[below(std::size(some))];
}

void change(Bytes& file) {
  const size_t table = fixedHeader + 4 * size_t(u32(file, 40)), entries = u32(file, 68);
  if (table + entries * entryBytes > file.size()) return;
  const auto entry = [&] { return table + below(entries) * entryBytes; };
  const size_t a = entry(), b = entry();
  switch (below(9)) {
    case 0: {  // a size of the model
      const size_t at = 28 + 4 * below((fixedHeader - 28) / 4);
      return put(file, at, number(u32(file, at)));
    }
    case 1: {  // a word of a tensor
      const size_t at = a + 4 * below(entryBytes / 4);
      return put(file, at, number(u32(file, at)));
    }
    case 2: return put(file, a + 32, offset(file));
    case 3: return void(std::swap_ranges(&file[a], &file[a] + entryBytes, &file[b]));
    case 4: return void(std::memmove(&file[a + 8], &file[b + 8], entryBytes - 8));  // the same bytes for two tensors
    case 5:  // other weights in the same bytes
      put(file, a + 8, uint32_t(below(4)));
      put(file, a + 12, uint32_t(1) << below(20));
      return put(file, a + 24, uint32_t(below(2)));
    case 6: {  // one tensor less or one twice
      const bool less = below(2) == 0;
      if (less) file.erase(file.begin() + long(a), file.begin() + long(a + entryBytes));
      else file.insert(file.begin() + long(a), &file[b], &file[b] + entryBytes);
      put(file, 68, uint32_t(entries + (less ? -1 : 1)));
      return put(file, 12, uint32_t(u32(file, 12) + (less ? -entryBytes : entryBytes)));
    }
    case 7:  // weights that are any bytes at all
      for (size_t i = 0; i < 64; i++) put(file, below(file.size()), uint32_t(random_()));
      return;
    default:
      file.resize(std::max(fixedHeader, below(2) == 0 ? below(file.size()) : file.size() + below(4096)));
  }
}

// A length and a checksum that agree, most of the time.
void seal(Bytes& file) {
  if (below(20) != 0) put(file, 16, uint64_t(file.size()));
  if (below(50) == 0) return;
  put(file, 24, uint32_t(0));
  uint32_t crc = ~0u;
  for (size_t i = 0; i < std::min<size_t>(u32(file, 12), file.size()); i++) {
    crc ^= file[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  put(file, 24, ~crc);
}

void step(const char* path, size_t run) {
  const auto all = availableKernels();
  Model model(path, *all[run % all.size()], 1 + run % 2, CacheType(run % 3));
  if (model.weights().layers.empty()) return;
  const size_t H = model.weights().hidden;
  const std::vector<int> rows{model.cache().openRow(), model.cache().openRow()};
  std::vector<float> hidden(6 * H), logits(6 * size_t(model.weights().vocabulary));
  std::vector<uint8_t> finite(2);
  model.step(inputOf(model, rows, {0, 0}, 3), hidden.data(), finite.data());
  model.step(inputOf(model, rows, {3, 2}, 1), hidden.data(), finite.data());
  std::vector<double> powers(2 * 6);
  model.logits(hidden.data(), 6, logits.data(), run % 2 == 0 ? powers.data() : nullptr);
}

void join(const char* backbone, const char* path) {
  Model model(backbone, *availableKernels().front(), 1, CacheType::f32);
  const PackedModel aggregator = openPackedModel(path);
  const size_t H = aggregator.hidden, P = aggregator.streams;
  if (P == 0) return;
  std::vector<float> streams(3 * P * H, 0.5f), hidden(3 * H), shares(3 * P);
  model.aggregate(aggregator, streams.data(), 3, hidden.data(), shares.data());
}

}  // namespace

int main(int, char** arguments) {
  const char *backbone = arguments[1], *scratch = arguments[3];
  const Bytes whole[] = {read(backbone), read(arguments[2])};
  const size_t runs = std::strtoul(arguments[4], nullptr, 10);
  random_.seed(std::strtoul(arguments[5], nullptr, 10));
  size_t opened = 0, refused = 0;
  for (size_t run = 0; run < runs; run++) {
    const bool joins = below(5) == 0;
    Bytes file = whole[joins];
    for (size_t changes = 1 + below(3); changes > 0; changes--) change(file);
    seal(file);
    std::ofstream(scratch, std::ios::binary).write(reinterpret_cast<const char*>(file.data()), long(file.size()));
    try {
      if (joins) join(backbone, scratch);
      else step(scratch, run);
      opened++;
    } catch (const Failure&) {
      refused++;
    }
  }
  std::printf("%zu opened, %zu refused\n", opened, refused);
  return 0;
}
