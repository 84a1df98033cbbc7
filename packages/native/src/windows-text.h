// Texts of Windows: its own functions take UTF-16.
#pragma once
#include <windows.h>

#include <string>
#include <system_error>

namespace parscale {

inline std::string errorText(DWORD error) { return std::system_category().message(int(error)); }
inline std::string lastError() { return errorText(GetLastError()); }

inline std::wstring wide(const std::string& utf8) {
  const int length = MultiByteToWideChar(CP_UTF8, 0, utf8.data(), int(utf8.size()), nullptr, 0);
  std::wstring text(size_t(length), 0);
  MultiByteToWideChar(CP_UTF8, 0, utf8.data(), int(utf8.size()), text.data(), length);
  return text;
}

}  // namespace parscale
