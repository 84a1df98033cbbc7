#include "target-file.h"

#include <windows.h>

#include <algorithm>

#include "error.h"
#include "windows-text.h"

namespace parscale {
namespace {

const char* codeOf(DWORD error) {
  switch (error) {
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return "ENOSPC";
    case ERROR_DISK_QUOTA_EXCEEDED: return "EDQUOT";
    case ERROR_FILE_TOO_LARGE: return "EFBIG";
    case ERROR_WRITE_FAULT:
    case ERROR_CRC: return "EIO";
    default: return "ERR_TARGET_FILE";
  }
}

Failure failure(const std::string& path, DWORD error) {
  return Failure(codeOf(error), path + ": cannot be written: " + errorText(error));
}

}  // namespace

TargetFile::TargetFile(const std::string& path) : path_(path) {
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  file_ = CreateFileW(wide(path).c_str(), GENERIC_WRITE, share, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file_ == INVALID_HANDLE_VALUE) throw failure(path, GetLastError());
}

TargetFile::~TargetFile() { CloseHandle(file_); }

void TargetFile::write(uint64_t offset, const uint8_t* bytes, size_t size) const {
  for (size_t done = 0; done < size;) {
    OVERLAPPED at{};
    at.Offset = DWORD(offset + done);
    at.OffsetHigh = DWORD((offset + done) >> 32);
    DWORD n = 0;
    if (!WriteFile(file_, bytes + done, DWORD(std::min<size_t>(size - done, 1 << 30)), &n, &at)) throw failure(path_, GetLastError());
    if (n == 0) throw failure(path_, ERROR_WRITE_FAULT);
    done += n;
  }
}

}  // namespace parscale
