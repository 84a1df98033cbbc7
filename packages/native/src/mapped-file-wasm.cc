// There are no files in a page.
#include "error.h"
#include "mapped-file.h"

namespace parscale {

MappedFile::MappedFile(const std::string& path, size_t) : PackedBytes(path) { throw badFile(path, "cannot be mapped in a page"); }
MappedFile::~MappedFile() = default;
void MappedFile::mustBeWhole() const {}

}  // namespace parscale
