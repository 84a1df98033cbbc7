// A packed model made in memory, straight from the files of its checkpoint, on several threads: nothing is written to a disk.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "packed-bytes.h"
#include "stored-rows.h"

namespace parscale {

// A tensor, where it goes and where it comes from.
struct PackedTensor {
  // Where it begins in the packed model, at a multiple of 64.
  uint64_t at = 0;
  // A vector has outputs, and one input.
  bool isVector = false;
  uint32_t outputs = 0, inputs = 0;
  StoredType type = StoredType::f32;
  // Number of the file, and its first row's byte there.
  size_t file = 0;
  uint64_t offset = 0;
  // Rows of a head whose halves are interleaved, as GGUF files of some families have them: row 2 j + s is number s * rows / 2 + j. 0: none.
  uint32_t interleaved = 0;
};

// `progress`: [0] counts KiB of the packed model that are done; what is put into [1] ends it with a Failure. Throws a Failure, or
// std::bad_alloc.
std::shared_ptr<const PackedBytes> packInMemory(const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                                                const std::vector<PackedTensor>& tensors, size_t threads, std::atomic<int32_t>* progress);

}  // namespace parscale
