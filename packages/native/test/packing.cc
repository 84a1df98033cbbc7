// Packs random blocks of every type in memory, on one to four threads, for the sanitizers: rows of whole heads, last panels that are not
// full, and vectors.
//   packing FILE: writes there. Prints "ok" when all threads give the same bytes, and what does not fit is refused.
#include <cstdio>
#include <cstring>
#include <fstream>

#include "../src/error.h"
#include "../src/pack-memory.h"

namespace {

using namespace parscale;

constexpr StoredType types[] = {StoredType::f32,  StoredType::f16,  StoredType::bf16, StoredType::q4_0, StoredType::q4_1, StoredType::q5_0,
                                StoredType::q5_1, StoredType::q8_0, StoredType::q4_K, StoredType::q5_K, StoredType::q6_K};

uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

bool refuses(const std::string& path, size_t bytes, const PackedTensor& tensor, const char* code) {
  try {
    packInMemory({path}, std::vector<uint8_t>(64), bytes, {tensor}, 2, nullptr);
  } catch (const Failure& failure) {
    return std::strcmp(failure.code, code) == 0;
  }
  return false;
}

}  // namespace

int main(int, char** arguments) {
  const std::string path = arguments[1];
  std::vector<PackedTensor> tensors;
  uint64_t at = 64, offset = 0;
  const auto add = [&](StoredType type, uint32_t outputs, uint32_t inputs, uint32_t interleaved) {
    const StoredFormat stored = storedFormat(uint32_t(type));
    Matrix m;
    m.format = stored.format;
    m.blockSize = stored.blockSize;
    m.hasMinima = stored.hasMinima;
    m.inputs = inputs;
    m.outputs = outputs;
    PackedTensor t;
    t.at = at;
    t.isVector = inputs == 1;
    t.outputs = outputs;
    t.inputs = inputs;
    t.type = type;
    t.offset = offset;
    t.interleaved = interleaved;
    tensors.push_back(t);
    at = padded(at + (t.isVector ? outputs * sizeof(float) : m.panels() * m.panelBytes()));
    // Blocks of odd lengths: nothing in the file is aligned.
    offset += stored.rowBytes(inputs) * outputs + 1;
  };
  for (const StoredType type : types) {
    const bool integers = storedFormat(uint32_t(type)).blockSize > 0;
    add(type, 100, integers ? 512 : 100, 0);
    add(type, 2 * 72, 256, 72);
    add(type, 3000, 256, 0);
    if (!integers) add(type, 33, 1, 0);
    if (!integers) add(type, 48, 1, 24);
  }
  // Halfs are finite where their upper bytes are.
  std::vector<char> bytes(offset);
  uint32_t seed = 1;
  for (char& byte : bytes) byte = char((seed = seed * 1664525 + 1013904223) >> 24 & 0x3b);
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));

  bool good = true;
  const auto pack = [&](size_t threads) { return packInMemory({path}, std::vector<uint8_t>(64), at, tensors, threads, nullptr); };
  const auto first = pack(1);
  for (const size_t threads : {2, 3, 4}) {
    const auto packed = pack(threads);
    // Between tensors there may be anything.
    for (size_t i = 0; i < tensors.size(); i++) {
      const PackedTensor& t = tensors[i];
      Matrix m;
      const StoredFormat stored = storedFormat(uint32_t(t.type));
      m.format = stored.format;
      m.blockSize = stored.blockSize;
      m.hasMinima = stored.hasMinima;
      m.inputs = t.inputs;
      m.outputs = t.outputs;
      const size_t size = t.isVector ? t.outputs * sizeof(float) : m.panels() * m.panelBytes();
      good = good && std::memcmp(packed->bytes() + t.at, first->bytes() + t.at, size) == 0;
    }
  }
  std::atomic<int32_t> stopped[2] = {{0}, {1}};
  try {
    packInMemory({path}, std::vector<uint8_t>(64), at, tensors, 2, stopped);
    good = false;
  } catch (const Failure& failure) {
    good = good && std::strcmp(failure.code, "ERR_CLOSED") == 0;
  }
  PackedTensor t = tensors[0];
  good = good && refuses(path, 128, t, "ERR_USAGE");
  t.offset = offset;
  good = good && refuses(path, at, t, "ERR_SOURCE_FILE");
  good = good && refuses(path + ".not-there", at, t, "ERR_SOURCE_FILE");
  std::puts(good ? "ok" : "wrong");
  return good ? 0 : 1;
}
