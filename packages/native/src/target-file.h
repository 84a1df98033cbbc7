// A packed file that is being made: written in pieces from any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace parscale {

class TargetFile {
 public:
  // Of a file that is there. Throws a Failure where it cannot be written.
  explicit TargetFile(const std::string& path);
  ~TargetFile();
  TargetFile(const TargetFile&) = delete;
  TargetFile& operator=(const TargetFile&) = delete;

  // Throws a Failure; its code is ENOSPC, EDQUOT, EFBIG or EIO where it is one of these.
  void write(uint64_t offset, const uint8_t* bytes, size_t size) const;

 private:
  std::string path_;
#ifdef _WIN32
  void* file_ = nullptr;
#else
  int file_ = -1;
#endif
};

}  // namespace parscale
