// A packed model made straight from the files of its checkpoint, on several threads in one pass: in memory, or in a file.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "packed-bytes.h"
#include "stored-rows.h"

namespace parscale {

// Some rows of a file: its number, and the first row's byte there.
struct Place {
  size_t file = 0;
  uint64_t offset = 0;
};

// Of integers4 and integers8: none is the middle of the integers; or float32; or integers as the data.
enum class ZeroPoints : uint32_t { none = 0, f32 = 1, integers = 2 };

// A tensor, where it goes and where it comes from.
struct PackedTensor {
  // Where it begins in the packed model, at a multiple of 64.
  uint64_t at = 0;
  // A vector has outputs, and one input.
  bool isVector = false;
  uint32_t outputs = 0, inputs = 0;
  // What a matrix becomes. Other than storedFormat says: floats are rounded, or integers are widened to floats, or rounded anew.
  Format format = Format::f32;
  uint32_t blockSize = 0;
  bool hasMinima = false;
  StoredType type = StoredType::f32;
  Place data;
  // Rows of a head whose halves are interleaved, as GGUF files of some families have them: row 2 j + s is number s * rows / 2 + j. 0: none.
  uint32_t interleaved = 0;
  // Of integers4 and integers8.
  Place scales, zeros;
  ZeroPoints zeroPoints = ZeroPoints::none;
};

// `progress`: [0] counts KiB of the packed model that are done; what is put into [1] ends it with a Failure. Throws a Failure, or
// std::bad_alloc.
std::shared_ptr<const PackedBytes> packInMemory(const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                                                const std::vector<PackedTensor>& tensors, size_t threads, const Kernels&, std::atomic<int32_t>* progress);

// The same into a file that is there, and empty: it may end before `bytes`, where the last tensor does.
void packToFile(const std::string& target, const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                const std::vector<PackedTensor>& tensors, size_t threads, const Kernels&, std::atomic<int32_t>* progress);

}  // namespace parscale
