#include "target-file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace parscale {
namespace {

const char* codeOf(int error) {
  switch (error) {
    case ENOSPC: return "ENOSPC";
    case EDQUOT: return "EDQUOT";
    case EFBIG: return "EFBIG";
    case EIO: return "EIO";
    default: return "ERR_TARGET_FILE";
  }
}

Failure failure(const std::string& path, int error) { return Failure(codeOf(error), path + ": cannot be written: " + std::strerror(error)); }

}  // namespace

TargetFile::TargetFile(const std::string& path) : path_(path) {
  file_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file_ < 0) throw failure(path, errno);
}

TargetFile::~TargetFile() { close(file_); }

void TargetFile::write(uint64_t offset, const uint8_t* bytes, size_t size) const {
  // A write may take less than it is given: the disk's last bytes, say, before the next one fails.
  for (size_t done = 0; done < size;) {
    const ssize_t n = pwrite(file_, bytes + done, size - done, off_t(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw failure(path_, errno);
    if (n == 0) throw failure(path_, EIO);
    done += size_t(n);
  }
}

}  // namespace parscale
