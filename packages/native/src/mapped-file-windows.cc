#include "mapped-file.h"

#include <windows.h>


#include "error.h"
#include "windows-text.h"

namespace parscale {

MappedFile::MappedFile(const std::string& path, size_t leastBytes) : PackedBytes(path) {
  // As on other systems, others may read, write, rename and remove it meanwhile, as far as Windows lets them with a mapped file.
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  file_ = CreateFileW(wide(path).c_str(), GENERIC_READ, share, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file_ == INVALID_HANDLE_VALUE) throw badFile(path, "cannot be opened: " + lastError());
  const auto refuse = [&](const std::string& what) {
    CloseHandle(file_);
    return badFile(path, what);
  };
  LARGE_INTEGER size;
  if (GetFileType(file_) != FILE_TYPE_DISK || !GetFileSizeEx(file_, &size)) throw refuse("is no regular file");
  size_ = size_t(size.QuadPart);
  if (size_ < leastBytes) throw refuse("has " + std::to_string(size_) + " bytes, less than a header");
  const HANDLE mapping = CreateFileMappingW(file_, nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (!mapping) throw refuse("cannot be mapped: " + lastError());
  // The view keeps the mapping.
  bytes_ = static_cast<const uint8_t*>(MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, size_));
  const std::string why = bytes_ ? "" : lastError();
  CloseHandle(mapping);
  if (!bytes_) throw refuse("cannot be mapped: " + why);
}

MappedFile::~MappedFile() {
  UnmapViewOfFile(bytes_);
  CloseHandle(file_);
}

void MappedFile::mustBeWhole() const {
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file_, &size) || size_t(size.QuadPart) < size_) throw badFile(path_, "was cut short while it was in use");
}

}  // namespace parscale
