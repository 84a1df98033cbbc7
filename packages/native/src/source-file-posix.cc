#include "source-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace parscale {

SourceFile::SourceFile(const std::string& path) : path_(path) {
  // Without O_NONBLOCK a named pipe would be waited for.
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file_ < 0) throw badSource(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info;
  if (fstat(file_, &info) == 0 && S_ISREG(info.st_mode)) return;
  close(file_);
  throw badSource(path, "is no regular file");
}

SourceFile::~SourceFile() { close(file_); }

void SourceFile::read(uint64_t offset, size_t bytes, uint8_t* to) const {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = pread(file_, to + done, bytes - done, off_t(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw badSource(path_, std::string("cannot be read: ") + std::strerror(errno));
    if (n == 0) throw badSource(path_, "ends at byte " + std::to_string(offset + done) + ", within a tensor");
    done += size_t(n);
  }
}

}  // namespace parscale
