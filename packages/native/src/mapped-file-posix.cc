#include "mapped-file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace parscale {

MappedFile::MappedFile(const std::string& path, size_t leastBytes) : PackedBytes(path) {
  // Without O_NONBLOCK a named pipe would be waited for.
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file_ < 0) throw badFile(path, std::string("cannot be opened: ") + std::strerror(errno));
  const auto refuse = [&](const std::string& what) {
    close(file_);
    return badFile(path, what);
  };
  struct stat info;
  if (fstat(file_, &info) != 0 || !S_ISREG(info.st_mode)) throw refuse("is no regular file");
  size_ = size_t(info.st_size);
  if (size_ < leastBytes) throw refuse("has " + std::to_string(size_) + " bytes, less than a header");
  void* memory = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_, 0);
  if (memory == MAP_FAILED) throw refuse(std::string("cannot be mapped: ") + std::strerror(errno));
  bytes_ = static_cast<const uint8_t*>(memory);
}

MappedFile::~MappedFile() {
  munmap(const_cast<uint8_t*>(bytes_), size_);
  close(file_);
}

void MappedFile::mustBeWhole() const {
  struct stat info;
  if (fstat(file_, &info) != 0 || size_t(info.st_size) < size_) throw badFile(path_, "was cut short while it was in use");
}

}  // namespace parscale
