#include "packed-file.h"

#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "error.h"

namespace parscale {
namespace {

constexpr uint32_t version = 1;
constexpr size_t fixedHeader = 72, entryBytes = 40;
// Far above any model, and small enough that no product of two of them overflows 64 bits.
constexpr uint32_t largestSize = 1u << 24, mostLayers = 4096, mostHeads = 4096, mostStreams = 4096;
// Sums of a block's products stay below 2^31: 255 * 127 * 2^16.
constexpr uint32_t largestBlock = 1u << 16;

enum class Role : uint32_t {
  embedding, output, finalNorm, inputNorm, postNorm, qNorm, kNorm,
  q, k, v, o, gate, up, down,
  qBias, kBias, vBias, oBias, gateBias, upBias, downBias,
  aggregatorInner, aggregatorInnerBias, aggregatorOuter, aggregatorOuterBias,
};
constexpr uint32_t roles = uint32_t(Role::aggregatorOuterBias) + 1;

uint32_t crc32(const uint8_t* bytes, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < length; i++) {
    // The checksum's own field counts as 0.
    crc ^= i >= 24 && i < 28 ? 0 : bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// Reads the header, then hands out its tensors by role; each is checked when it is taken.
class Reader {
 public:
  explicit Reader(std::shared_ptr<const PackedBytes> file)
      : path_(file->path()), file_(std::move(file)), bytes_(file_->bytes()), size_(file_->size()) {
    if (size_ < fixedHeader) throw badFile(path_, "has " + std::to_string(size_) + " bytes, less than a header");
    if (std::memcmp(bytes_, "parscale", 8) != 0) throw badFile(path_, "does not begin with \"parscale\"");
    if (number(8) != version) throw badFile(path_, "has version " + std::to_string(number(8)) + ", expected 1");
    const size_t header = number(12);
    if (header < fixedHeader || header > size_) throw badFile(path_, "has a header of " + std::to_string(header) + " bytes");
    uint64_t size;
    std::memcpy(&size, bytes_ + 16, sizeof size);
    if (size != size_)
      throw badFile(path_, "has " + std::to_string(size_) + " bytes, its header says " + std::to_string(size));
    if (crc32(bytes_, header) != number(24)) throw badFile(path_, "has a header that does not agree with its checksum");
    const uint32_t layers = number(40), tensors = number(68);
    if (layers > mostLayers) throw badFile(path_, "has " + std::to_string(layers) + " layers");
    if (header != fixedHeader + layers * size_t(4) + tensors * entryBytes)
      throw badFile(path_, "has a header of " + std::to_string(header) + " bytes for " + std::to_string(tensors) + " tensors");
    for (uint32_t i = 0; i < tensors; i++) {
      const size_t at = fixedHeader + layers * size_t(4) + i * entryBytes;
      if (number(at) >= roles) throw badFile(path_, "has a tensor of the unknown kind " + std::to_string(number(at)));
      if (!entries_.emplace(std::pair{number(at), number(at + 4)}, at).second)
        throw badFile(path_, name(Role(number(at)), number(at + 4)) + " stands in it twice");
    }
  }

  uint32_t number(size_t at) const {
    uint32_t x;
    std::memcpy(&x, bytes_ + at, sizeof x);
    return x;
  }
  float real(size_t at) const {
    float x;
    std::memcpy(&x, bytes_ + at, sizeof x);
    return x;
  }
  uint32_t size(size_t at, const char* what) const {
    const uint32_t x = number(at);
    if (x == 0 || x > largestSize) throw badFile(path_, std::string(what) + " is " + std::to_string(x));
    return x;
  }

  bool has(Role role, uint32_t layer = 0) const { return entries_.count({uint32_t(role), layer}) > 0; }

  Matrix matrix(Role role, uint32_t layer, uint64_t outputs, uint64_t inputs) const {
    const size_t at = entry(role, layer, outputs, inputs);
    Matrix m;
    const uint32_t format = number(at + 8);
    if (format > uint32_t(Format::int4)) throw badFile(path_, name(role, layer) + " has format " + std::to_string(format));
    m.format = Format(format);
    m.blockSize = number(at + 12);
    m.outputs = uint32_t(outputs);
    m.inputs = uint32_t(inputs);
    m.hasMinima = number(at + 24) != 0;
    const uint32_t b = m.blockSize;
    if (m.quantised() && (b < lanes || b > largestBlock || (b & (b - 1)) != 0 || m.inputs % b != 0))
      throw badFile(path_, name(role, layer) + " has blocks of " + std::to_string(b) + " in rows of " + std::to_string(inputs));
    m.data = bytes(at, role, layer, m.panels() * uint64_t(m.panelBytes()));
    return m;
  }

  const float* vector(Role role, uint32_t layer, uint64_t n) const {
    const size_t at = entry(role, layer, n, 1);
    if (number(at + 8) != uint32_t(Format::f32)) throw badFile(path_, name(role, layer) + " is not float32");
    return reinterpret_cast<const float*>(bytes(at, role, layer, n * sizeof(float)));
  }

  const float* vectorIfThere(Role role, uint32_t layer, uint64_t n) const {
    return has(role, layer) ? vector(role, layer, n) : nullptr;
  }

  std::shared_ptr<const PackedBytes> file() const { return file_; }

 private:
  static std::string name(Role role, uint32_t layer) {
    return "tensor " + std::to_string(uint32_t(role)) + " of layer " + std::to_string(layer);
  }

  size_t entry(Role role, uint32_t layer, uint64_t outputs, uint64_t inputs) const {
    const auto found = entries_.find({uint32_t(role), layer});
    if (found == entries_.end()) throw badFile(path_, name(role, layer) + " is missing");
    const size_t at = found->second;
    if (number(at + 16) != outputs || number(at + 20) != inputs)
      throw badFile(path_, name(role, layer) + " has the shape [" + std::to_string(number(at + 16)) + ", " +
                               std::to_string(number(at + 20)) + "], expected [" + std::to_string(outputs) + ", " +
                               std::to_string(inputs) + "]");
    return at;
  }

  const uint8_t* bytes(size_t entry, Role role, uint32_t layer, uint64_t length) const {
    uint64_t offset;
    std::memcpy(&offset, bytes_ + entry + 32, sizeof offset);
    if (offset % 64 != 0 || offset > size_ || length > size_ - offset)
      throw badFile(path_, name(role, layer) + " lies at byte " + std::to_string(offset) + " with " + std::to_string(length) +
                               " bytes, in a file of " + std::to_string(size_));
    return bytes_ + offset;
  }

  std::string path_;
  std::shared_ptr<const PackedBytes> file_;
  const uint8_t* bytes_;
  size_t size_;
  std::map<std::pair<uint32_t, uint32_t>, size_t> entries_;
};

LayerWeights readLayer(const Reader& in, const PackedModel& m, uint32_t l) {
  const uint64_t H = m.hidden, I = m.intermediate, D = m.headDim, Q = uint64_t(m.heads) * D, K = uint64_t(m.kvHeads) * D;
  LayerWeights w;
  w.inputNorm = in.vector(Role::inputNorm, l, H);
  w.postNorm = in.vector(Role::postNorm, l, H);
  w.qNorm = in.vectorIfThere(Role::qNorm, l, D);
  w.kNorm = in.vectorIfThere(Role::kNorm, l, D);
  w.q = in.matrix(Role::q, l, Q, H);
  w.k = in.matrix(Role::k, l, K, H);
  w.v = in.matrix(Role::v, l, K, H);
  w.o = in.matrix(Role::o, l, H, Q);
  w.gate = in.matrix(Role::gate, l, I, H);
  w.up = in.matrix(Role::up, l, I, H);
  w.down = in.matrix(Role::down, l, H, I);
  w.qBias = in.vectorIfThere(Role::qBias, l, Q);
  w.kBias = in.vectorIfThere(Role::kBias, l, K);
  w.vBias = in.vectorIfThere(Role::vBias, l, K);
  w.oBias = in.vectorIfThere(Role::oBias, l, H);
  w.gateBias = in.vectorIfThere(Role::gateBias, l, I);
  w.upBias = in.vectorIfThere(Role::upBias, l, I);
  w.downBias = in.vectorIfThere(Role::downBias, l, H);
  return w;
}

}  // namespace

PackedModel openPackedModel(const std::string& path) {
  return openPackedModel(std::make_shared<const MappedFile>(path, fixedHeader));
}

PackedModel openPackedModel(std::shared_ptr<const PackedBytes> file) {
  const std::string path = file->path();
  const Reader in(std::move(file));
  PackedModel m;
  m.file = in.file();
  m.hidden = in.size(32, "the hidden size");
  m.streams = in.number(56);
  m.rmsNormEps = in.real(60);
  m.smoothing = in.real(64);
  const uint32_t layers = in.number(40);
  if (m.streams > 0) {
    if (layers > 0 || m.streams > mostStreams) throw badFile(path, "is no aggregator of a sensible number of streams");
    if (!(m.smoothing >= 0 && m.smoothing <= 1)) throw badFile(path, "the aggregator's smoothing is not in 0 to 1");
    m.aggregator.outerBias = in.vector(Role::aggregatorOuterBias, 0, m.streams);
    if (!in.has(Role::aggregatorInner)) return m;
    m.aggregator.inner = in.matrix(Role::aggregatorInner, 0, m.hidden, uint64_t(m.streams) * m.hidden);
    m.aggregator.innerBias = in.vector(Role::aggregatorInnerBias, 0, m.hidden);
    m.aggregator.outer = in.matrix(Role::aggregatorOuter, 0, m.streams, m.hidden);
    return m;
  }
  m.vocabulary = in.size(28, "the vocabulary");
  m.intermediate = in.size(36, "the intermediate size");
  m.heads = in.size(44, "the number of heads");
  m.kvHeads = in.size(48, "the number of key/value heads");
  m.headDim = in.size(52, "the head size");
  if (layers == 0) throw badFile(path, "has no layers");
  if (m.heads % m.kvHeads != 0 || m.heads > mostHeads || m.headDim % 2 != 0 || m.headDim > largestHead)
    throw badFile(path, std::to_string(m.heads) + " heads of " + std::to_string(m.headDim) + " over " +
                            std::to_string(m.kvHeads) + " do not fit together");
  if (!(m.rmsNormEps >= 0 && std::isfinite(m.rmsNormEps))) throw badFile(path, "the norms' epsilon is no number");
  for (uint32_t l = 0; l < layers; l++) {
    m.windows.push_back(in.number(72 + 4 * size_t(l)));
    m.layers.push_back(readLayer(in, m, l));
  }
  m.embedding = in.matrix(Role::embedding, 0, m.vocabulary, m.hidden);
  m.output = in.has(Role::output) ? in.matrix(Role::output, 0, m.vocabulary, m.hidden) : m.embedding;
  m.finalNorm = in.vector(Role::finalNorm, 0, m.hidden);
  return m;
}

void readRow(const Matrix& m, size_t id, float* out) {
  const uint8_t* panel = m.data + id / lanes * m.panelBytes();
  const size_t lane = id % lanes;
  if (m.format == Format::f32) {
    for (size_t k = 0; k < m.inputs; k++) out[k] = reinterpret_cast<const float*>(panel)[k * lanes + lane];
    return;
  }
  if (m.format == Format::bf16) {
    for (size_t k = 0; k < m.inputs; k++) {
      const uint32_t bits = uint32_t(reinterpret_cast<const uint16_t*>(panel)[k * lanes + lane]) << 16;
      std::memcpy(out + k, &bits, sizeof bits);
    }
    return;
  }
  for (size_t from = 0; from < m.inputs; from += m.blockSize, panel += m.recordBytes()) {
    const float scale = reinterpret_cast<const float*>(panel)[lane];
    const float minimum = m.hasMinima ? reinterpret_cast<const float*>(panel)[lanes + lane] : 0;
    const int zero = m.hasMinima ? 0 : m.format == Format::int8 ? 128 : 8;
    const uint8_t* q = panel + (m.hasMinima ? 128 : 64) + lane * 4;
    for (size_t k = 0; k < m.blockSize; k++) {
      int x;
      if (m.format == Format::int8) x = q[k / 4 * 64 + k % 4];
      else x = q[k / 8 * 64 + k % 4] >> (k % 8 < 4 ? 0 : 4) & 15;
      out[from + k] = float(x - zero) * scale + minimum;
    }
  }
}

}  // namespace parscale
