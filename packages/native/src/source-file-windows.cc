#include "source-file.h"

#include <windows.h>

#include <algorithm>

#include "error.h"
#include "windows-text.h"

namespace parscale {

SourceFile::SourceFile(const std::string& path) : path_(path) {
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  file_ = CreateFileW(wide(path).c_str(), GENERIC_READ, share, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file_ == INVALID_HANDLE_VALUE) throw badSource(path, "cannot be opened: " + lastError());
  if (GetFileType(file_) == FILE_TYPE_DISK) return;
  CloseHandle(file_);
  throw badSource(path, "is no regular file");
}

SourceFile::~SourceFile() { CloseHandle(file_); }

void SourceFile::read(uint64_t offset, size_t bytes, uint8_t* to) const {
  for (size_t done = 0; done < bytes;) {
    OVERLAPPED at{};
    at.Offset = DWORD(offset + done);
    at.OffsetHigh = DWORD((offset + done) >> 32);
    DWORD n = 0;
    const bool read = ReadFile(file_, to + done, DWORD(std::min<size_t>(bytes - done, 1 << 30)), &n, &at);
    if (!read && GetLastError() != ERROR_HANDLE_EOF) throw badSource(path_, "cannot be read: " + lastError());
    if (n == 0) throw badSource(path_, "ends at byte " + std::to_string(offset + done) + ", within a tensor");
    done += n;
  }
}

}  // namespace parscale
