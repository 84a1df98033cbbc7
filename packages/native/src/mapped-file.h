// A file mapped into memory, read only, until this object is destroyed.
#pragma once
#include "packed-bytes.h"

namespace parscale {

class MappedFile : public PackedBytes {
 public:
  // Throws a Failure where there is no regular file of at least so many bytes.
  MappedFile(const std::string& path, size_t leastBytes);
  ~MappedFile() override;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Throws a Failure where somebody has cut the file short since: reading behind its end would end the process. What is cut off in the
  // middle of a layer cannot be caught.
  void mustBeWhole() const override;

 private:
  // What the system knows it by.
#if defined(_WIN32)
  void* file_ = nullptr;
#elif !defined(__wasm__)
  int file_ = -1;
#endif
};

}  // namespace parscale
