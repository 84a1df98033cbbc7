// A file of a checkpoint, read in pieces from any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace parscale {

class SourceFile {
 public:
  // Throws a Failure where there is no regular file.
  explicit SourceFile(const std::string& path);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  // Throws a Failure where it ends before, or cannot be read.
  void read(uint64_t offset, size_t bytes, uint8_t* to) const;

 private:
  std::string path_;
#ifdef _WIN32
  void* file_ = nullptr;
#else
  int file_ = -1;
#endif
};

}  // namespace parscale
