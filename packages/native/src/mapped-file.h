// A file mapped into memory, read only, until this object is destroyed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace parscale {

class MappedFile {
 public:
  // Throws a Failure where there is no regular file of at least so many bytes.
  MappedFile(const std::string& path, size_t leastBytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }

  // Throws a Failure where somebody has cut the file short since: reading behind its end would end the process. Asked before each
  // layer of a step; what is cut off in the middle of one cannot be caught.
  void mustBeWhole() const;

 private:
  std::string path_;
  // What the system knows it by.
#ifdef _WIN32
  void* file_ = nullptr;
#else
  int file_ = -1;
#endif
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

}  // namespace parscale
