// The bytes of a packed model: a mapped file, or memory that was filled from the model's own files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "aligned.h"

namespace parscale {

class PackedBytes {
 public:
  virtual ~PackedBytes() = default;

  // Names it in errors.
  const std::string& path() const { return path_; }
  const uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }

  // Throws a Failure where they are no longer all there. Asked before each layer of a step.
  virtual void mustBeWhole() const {}

 protected:
  explicit PackedBytes(const std::string& path) : path_(path) {}

  std::string path_;
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

class PackedMemory : public PackedBytes {
 public:
  // Bytes of any content. Throws std::bad_alloc.
  PackedMemory(const std::string& path, size_t bytes) : PackedBytes(path), memory_(static_cast<uint8_t*>(allocateAligned(bytes))) {
    bytes_ = memory_.get();
    size_ = bytes;
  }

  uint8_t* writable() { return memory_.get(); }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { freeAligned(memory); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
};

}  // namespace parscale
