// What this module throws; the border makes JavaScript errors of it. Texts say what was expected and what was found.
#pragma once
#include <stdexcept>
#include <string>

namespace parscale {

// `code` becomes the JavaScript error's.
struct Failure : std::runtime_error {
  Failure(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Something in the packed file is not as the format says.
inline Failure badFile(const std::string& path, const std::string& what) {
  return Failure("ERR_PACKED_FILE", path + ": " + what + "; remove it, and it is made again from the model");
}

// Something in a file of the checkpoint is not as its header said.
inline Failure badSource(const std::string& path, const std::string& what) { return Failure("ERR_SOURCE_FILE", path + ": " + what); }

// The caller asked for what cannot be.
inline Failure badCall(const std::string& what) { return Failure("ERR_USAGE", what); }

}  // namespace parscale
