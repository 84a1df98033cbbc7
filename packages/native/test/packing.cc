// Packs random numbers of every type, on one to four threads and with every instruction set, for the sanitizers: as they are, widened and rounded;
// rows of whole heads, last panels that are not full, and vectors.
//   packing FILE: writes there and beside. Prints "ok" when all give the same bytes, in memory and in a file, and what does not fit is refused.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "../src/error.h"
#include "../src/instruction-sets.h"
#include "../src/pack-memory.h"

namespace {

using namespace parscale;

constexpr StoredType types[] = {StoredType::f32,  StoredType::f16,  StoredType::bf16, StoredType::q4_0, StoredType::q4_1, StoredType::q5_0,
                                StoredType::q5_1, StoredType::q8_0, StoredType::q4_K, StoredType::q5_K, StoredType::q6_K};

uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

bool refuses(const std::string& path, size_t bytes, const PackedTensor& tensor, const char* code) {
  try {
    packInMemory({path}, std::vector<uint8_t>(64), bytes, {tensor}, 2, *availableKernels().front(), nullptr);
  } catch (const Failure& failure) {
    return std::strcmp(failure.code, code) == 0;
  }
  return false;
}

Matrix matrixOf(const PackedTensor& t) {
  Matrix m;
  m.format = t.format;
  m.blockSize = t.blockSize;
  m.hasMinima = t.hasMinima;
  m.inputs = t.inputs;
  m.outputs = t.outputs;
  return m;
}

size_t sizeOf(const PackedTensor& t) { return t.isVector ? t.outputs * sizeof(float) : matrixOf(t).panels() * matrixOf(t).panelBytes(); }

}  // namespace

int main(int, char** arguments) {
  const std::string path = arguments[1], target = path + ".packed";
  std::vector<PackedTensor> tensors;
  uint64_t at = 64, offset = 0;
  const auto add = [&](PackedTensor t, uint64_t bytes) {
    t.at = at;
    t.isVector = t.inputs == 1;
    t.data.offset = offset;
    tensors.push_back(t);
    at = padded(at + sizeOf(t));
    // Odd lengths: nothing in the file is aligned.
    offset += bytes + 1;
  };
  const auto addStored = [&](StoredType type, uint32_t outputs, uint32_t inputs, uint32_t interleaved, int bits = 0, uint32_t blockSize = 0) {
    const StoredFormat stored = storedFormat(uint32_t(type));
    PackedTensor t;
    t.outputs = outputs;
    t.inputs = inputs;
    t.type = type;
    t.interleaved = interleaved;
    t.format = bits == 0 ? stored.format : bits == 32 ? Format::f32 : bits == 8 ? Format::int8 : Format::int4;
    t.blockSize = bits == 0 ? stored.blockSize : blockSize;
    t.hasMinima = bits == 0 && stored.hasMinima;
    add(t, stored.rowBytes(inputs) * outputs);
  };
  for (const StoredType type : types) {
    const StoredFormat stored = storedFormat(uint32_t(type));
    addStored(type, 100, stored.isGguf() ? 512 : 100, 0);
    addStored(type, 2 * 72, 256, 72);
    addStored(type, 3000, 256, 0);
    if (!stored.isGguf()) addStored(type, 33, 1, 0);
    if (!stored.isGguf()) addStored(type, 48, 1, 24);
    if (stored.isGguf()) addStored(type, 77, 256, 0, 32);
    for (const int bits : {4, 8})
      for (const uint32_t blockSize : {16, 64, 256})
        if (!stored.isGguf() || int(stored.format == Format::int8 ? 8 : 4) != bits) addStored(type, 2 * 72, 512, 72, bits, blockSize);
  }
  for (const int bits : {4, 8}) {
    for (const ZeroPoints zeroPoints : {ZeroPoints::none, ZeroPoints::f32, ZeroPoints::integers}) {
      PackedTensor t;
      t.outputs = 1000;
      t.inputs = 288;
      t.format = bits == 8 ? Format::int8 : Format::int4;
      t.blockSize = 32;
      t.type = bits == 8 ? StoredType::integers8 : StoredType::integers4;
      t.zeroPoints = zeroPoints;
      t.hasMinima = zeroPoints != ZeroPoints::none;
      t.scales.offset = 3;
      t.zeros.offset = 5;
      add(t, size_t(t.outputs) * t.inputs * bits / 8);
    }
  }
  // Halfs are finite where their upper bytes are.
  std::vector<char> bytes(offset);
  uint32_t seed = 1;
  for (char& byte : bytes) byte = char((seed = seed * 1664525 + 1013904223) >> 24 & 0x3b);
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));

  bool good = true;
  const Kernels& best = *availableKernels().front();
  const std::vector<uint8_t> header(64);
  const auto first = packInMemory({path}, header, at, tensors, 1, *availableKernels().back(), nullptr);
  // Between tensors there may be anything.
  const auto same = [&](const uint8_t* packed) {
    for (const PackedTensor& t : tensors) good = good && std::memcmp(packed + t.at, first->bytes() + t.at, sizeOf(t)) == 0;
  };
  for (const Kernels* kernels : availableKernels())
    for (const size_t threads : {1, 2, 3, 4}) same(packInMemory({path}, header, at, tensors, threads, *kernels, nullptr)->bytes());
  for (const size_t threads : {1, 3}) {
    std::ofstream(target, std::ios::binary | std::ios::trunc).flush();
    packToFile(target, {path}, header, at, tensors, threads, best, nullptr);
    std::ifstream in(target, std::ios::binary);
    std::vector<char> packed((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    packed.resize(at);
    same(reinterpret_cast<const uint8_t*>(packed.data()));
  }
  std::atomic<int32_t> stopped[2] = {{0}, {1}};
  try {
    packInMemory({path}, header, at, tensors, 2, best, stopped);
    good = false;
  } catch (const Failure& failure) {
    good = good && std::strcmp(failure.code, "ERR_CLOSED") == 0;
  }
  PackedTensor t = tensors[0];
  good = good && refuses(path, 128, t, "ERR_USAGE");
  t.data.offset = offset;
  good = good && refuses(path, at, t, "ERR_SOURCE_FILE");
  good = good && refuses(path + ".not-there", at, t, "ERR_SOURCE_FILE");
  // Floats that are not finite cannot be rounded.
  const auto infinite = std::find_if(tensors.begin(), tensors.end(), [](const PackedTensor& t) { return t.type == StoredType::f32 && t.blockSize > 0; });
  const uint32_t infinity = 0x7f800000;
  std::memcpy(&bytes[infinite->data.offset + 4 * 40], &infinity, sizeof infinity);
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
  good = good && refuses(path, at, *infinite, "ERR_NOT_FINITE");
  std::puts(good ? "ok" : "wrong");
  return good ? 0 : 1;
}
