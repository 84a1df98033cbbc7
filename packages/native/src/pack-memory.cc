#include "pack-memory.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#endif

#include "buffer.h"
#include "error.h"
#include "source-file.h"
#include "target-file.h"
#include "thread-pool.h"

namespace parscale {
namespace {

// Bytes of a source that a thread takes at once: long enough to read well, short enough to stay in the second cache level.
constexpr size_t bytesAtOnce = 512 * 1024;

// Some panels of a tensor, or a whole vector.
struct Piece {
  const PackedTensor* tensor;
  size_t first, panels;
};

// Pages of 2 MiB, of which a core remembers more memory: steps take some 10 % less time, and at hand they come at a sixth of the price of small ones.
// Where the system has none at hand it moves others about, and a virtual machine's host has to find the memory first: then packing 1 GB takes three
// times as long. So each is asked for by itself, as long as they cost no more, all in all, than small ones.
#if defined(__linux__)
constexpr size_t hugePage = 2 * 1024 * 1024;
// What as much memory takes in small pages; and what all may cost more than that, which is two pages that are not at hand.
constexpr int64_t smallNanoseconds = 700'000, mostLoss = 10'000'000;

int64_t threadNanoseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void takeHugePages(PackedMemory& memory, ThreadPool& pool) {
  const uintptr_t from = (uintptr_t(memory.writable()) + hugePage - 1) / hugePage, to = (uintptr_t(memory.writable()) + memory.size()) / hugePage;
  if (to <= from) return;
  std::atomic<int64_t> left{mostLoss};
  pool.run(to - from, [&](size_t item, size_t) {
    if (left.load(std::memory_order_relaxed) <= 0) return;
    auto* page = reinterpret_cast<uint8_t*>((from + item) * hugePage);
    if (madvise(page, hugePage, MADV_HUGEPAGE) != 0) return left.store(-mostLoss);
    const int64_t began = threadNanoseconds();
    *page = 0;
    const int64_t saved = smallNanoseconds - (threadNanoseconds() - began);
    // Gains are not kept for later: pages at hand come first.
    const int64_t now = left.fetch_add(saved) + saved;
    if (now > mostLoss) left.fetch_sub(now - mostLoss);
  });
}

// All pages of a piece in one call, instead of a fault for each: a tenth less of the system's time. Linux before 5.14 does not know it.
void takePages(uint8_t* from, size_t bytes) {
  constexpr int populateWrite = 23;
  static const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  uint8_t* begin = from - uintptr_t(from) % page;
  madvise(begin, size_t(from + bytes - begin), populateWrite);
}
#else
void takeHugePages(PackedMemory&, ThreadPool&) {}
void takePages(uint8_t*, size_t) {}
#endif

Matrix matrixOf(const PackedTensor& t) {
  Matrix m;
  m.format = t.format;
  m.outputs = t.outputs;
  m.inputs = t.inputs;
  m.blockSize = t.blockSize;
  m.hasMinima = t.hasMinima;
  return m;
}

uint64_t packedBytes(const PackedTensor& t) {
  if (t.isVector) return uint64_t(t.outputs) * sizeof(float);
  const Matrix m = matrixOf(t);
  return uint64_t(m.panels()) * m.panelBytes();
}

bool isRounded(const PackedTensor& t, const StoredFormat& stored) {
  return t.blockSize > 0 && (stored.isFloat() || (stored.isGguf() && (t.format != stored.format || t.blockSize != stored.blockSize)));
}

// Whether what is stored so can become what is asked for.
bool fits(const PackedTensor& t, const StoredFormat& stored) {
  const bool integers = t.format == Format::int8 || t.format == Format::int4;
  if (integers != (t.blockSize > 0) || (integers && (t.blockSize % 8 != 0 || t.inputs % t.blockSize != 0))) return false;
  if (!stored.isFloat() && !stored.isGguf())
    return t.format == stored.format && integers && t.hasMinima == (t.zeroPoints != ZeroPoints::none);
  if (isRounded(t, stored)) return !t.hasMinima;
  if (integers) return t.hasMinima == stored.hasMinima;
  return !t.hasMinima && (t.format == Format::f32 || t.type == StoredType::bf16);
}

void check(const PackedTensor& t, size_t number, size_t files, size_t header, size_t bytes) {
  const auto refuse = [&](const std::string& what) { return badCall("tensor " + std::to_string(number) + " " + what); };
  const StoredFormat stored = storedFormat(uint32_t(t.type));
  if (stored.elements == 0) throw refuse("is of the unknown type " + std::to_string(uint32_t(t.type)));
  for (const Place& place : {t.data, t.scales, t.zeros})
    if (place.file >= files) throw refuse("lies in file " + std::to_string(place.file) + " of " + std::to_string(files));
  if (t.outputs == 0 || t.inputs == 0 || t.inputs % stored.elements != 0)
    throw refuse("of [" + std::to_string(t.outputs) + ", " + std::to_string(t.inputs) + "] is not made of whole blocks");
  if (t.isVector && (t.inputs != 1 || !stored.isFloat())) throw refuse("is no vector of floats");
  if (!t.isVector && !fits(t, stored)) throw refuse("cannot become what is asked for");
  if (t.interleaved > 0 && (t.interleaved % 2 != 0 || t.outputs % t.interleaved != 0)) throw refuse("is not made of whole heads");
  const uint64_t size = packedBytes(t);
  if (t.at % 64 != 0 || t.at < header || t.at > bytes || size > bytes - t.at) throw refuse("goes past the end of the packed model");
}

// Where the packed model goes.
class Target {
 public:
  virtual ~Target() = default;
  // Where so many bytes are put together that begin at `at`: in place, or in memory of the thread's own.
  virtual uint8_t* room(uint64_t at, size_t bytes, Buffer<uint8_t>& own) = 0;
  // They are there.
  virtual void put(uint64_t at, const uint8_t* from, size_t bytes) = 0;
};

class MemoryTarget : public Target {
 public:
  explicit MemoryTarget(PackedMemory& memory) : memory_(memory) {}
  uint8_t* room(uint64_t at, size_t bytes, Buffer<uint8_t>&) override {
    takePages(memory_.writable() + at, bytes);
    return memory_.writable() + at;
  }
  void put(uint64_t, const uint8_t*, size_t) override {}

 private:
  PackedMemory& memory_;
};

class FileTarget : public Target {
 public:
  explicit FileTarget(const std::string& path) : file_(path) {}
  uint8_t* room(uint64_t, size_t bytes, Buffer<uint8_t>& own) override { return own.room(bytes); }
  void put(uint64_t at, const uint8_t* from, size_t bytes) override { file_.write(at, from, bytes); }

 private:
  TargetFile file_;
};

// Memory of a thread.
struct Scratch {
  // Rows as they are stored, their scales and zero points; what is put together of them; a panel on its way to floats, and those.
  Buffer<uint8_t> rows, scales, zeros, packed, panel;
  Buffer<float> zeroFloats, floats;
};

class Packing {
 public:
  Packing(const std::vector<std::string>& paths, Target& to, ThreadPool& pool, const Kernels& kernels, std::atomic<int32_t>* progress)
      : to_(to), pool_(pool), kernels_(kernels), progress_(progress), scratch_(pool.threads()) {
    for (const std::string& path : paths) files_.push_back(std::make_unique<SourceFile>(path));
  }

  void run(const std::vector<PackedTensor>& tensors) {
    std::vector<Piece> pieces;
    for (const PackedTensor& t : tensors) {
      if (t.isVector) {
        pieces.push_back({&t, 0, 0});
        continue;
      }
      const size_t panels = matrixOf(t).panels(), rowBytes = storedFormat(uint32_t(t.type)).rowBytes(t.inputs);
      const size_t several = std::max<size_t>(1, bytesAtOnce / (rowBytes * lanes));
      for (size_t first = 0; first < panels; first += several) pieces.push_back({&t, first, std::min(several, panels - first)});
    }
    const PackedTensor* begin = tensors.data();
    pool_.run(pieces.size(), [&](size_t item, size_t thread) {
      if (failed_.load(std::memory_order_relaxed)) return;
      try {
        if (progress_ && progress_[1].load(std::memory_order_relaxed) != 0) throw Failure("ERR_CLOSED", "packing was stopped");
        pack(pieces[item], size_t(pieces[item].tensor - begin), scratch_[thread]);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_.store(true);
      }
    });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void pack(const Piece& piece, size_t number, Scratch& scratch) {
    const PackedTensor& t = *piece.tensor;
    const StoredFormat stored = storedFormat(uint32_t(t.type));
    if (t.isVector) {
      const size_t bytes = t.outputs * sizeof(float);
      const uint8_t* from = read(t.data, 0, t.outputs, stored.bytes, scratch.rows);
      uint8_t* to = to_.room(t.at, bytes, scratch.packed);
      for (size_t i = 0; i < t.outputs; i++) reinterpret_cast<float*>(to)[i] = widened(t.type, from + placeOf(i, t.interleaved) * stored.bytes);
      requireFinite(reinterpret_cast<const float*>(to), t.outputs, number);
      return done(t.at, to, bytes);
    }
    const Matrix m = matrixOf(t);
    const size_t rowBytes = stored.rowBytes(t.inputs), first = piece.first * lanes;
    const size_t end = std::min<size_t>(t.outputs, first + piece.panels * lanes);
    // Rows of whole heads, where they are interleaved.
    const size_t head = t.interleaved;
    const size_t readFrom = head ? first / head * head : first, readTo = head ? (end + head - 1) / head * head : end;
    const uint8_t* from = read(t.data, readFrom, readTo - readFrom, rowBytes, scratch.rows);
    const uint64_t at = t.at + piece.first * m.panelBytes();
    const size_t bytes = piece.panels * m.panelBytes();
    uint8_t* to = to_.room(at, bytes, scratch.packed);
    const bool ownScales = !stored.isFloat() && !stored.isGguf();
    const size_t blocks = ownScales ? t.inputs / t.blockSize : 0;
    const float *scales = nullptr, *zeros = nullptr;
    if (ownScales) {
      scales = reinterpret_cast<const float*>(read(t.scales, first, end - first, blocks * sizeof(float), scratch.scales));
      zeros = zeroPointsOf(t, blocks, first, end - first, scratch);
      requireFinite(scales, (end - first) * blocks, number);
      if (zeros) requireFinite(zeros, (end - first) * blocks, number);
    }
    for (size_t panel = 0; panel < piece.panels; panel++) {
      const uint8_t* rows[lanes];
      const size_t row = first + panel * lanes, n = std::min(lanes, end - row);
      for (size_t i = 0; i < n; i++) rows[i] = from + (placeOf(row + i, head) - readFrom) * rowBytes;
      uint8_t* out = to + panel * m.panelBytes();
      if (ownScales) {
        const float *scalesOf[lanes], *zerosOf[lanes];
        for (size_t i = 0; i < n; i++) scalesOf[i] = scales + (row + i - first) * blocks;
        for (size_t i = 0; i < n && zeros; i++) zerosOf[i] = zeros + (row + i - first) * blocks;
        fillPanel(m, rows, scalesOf, zerosOf, n, out);
      } else if (!fill(t, m, stored, rows, n, out, scratch)) {
        throw notFinite(number);
      }
    }
    done(at, to, bytes);
  }

  static Failure notFinite(size_t number) { return Failure("ERR_NOT_FINITE", std::to_string(number)); }

  static void requireFinite(const float* x, size_t n, size_t number) {
    // The exponents' bits, all set where a number is not finite.
    constexpr uint32_t exponent = 0x7f800000;
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
      uint32_t bits;
      std::memcpy(&bits, x + i, sizeof bits);
      bad |= (bits & exponent) == exponent;
    }
    if (bad) throw notFinite(number);
  }

  bool fill(const PackedTensor& t, const Matrix& m, const StoredFormat& stored, const uint8_t* const* rows, size_t n, uint8_t* out,
            Scratch& scratch) {
    const bool widens = stored.isGguf() && t.blockSize == 0;
    if (!isRounded(t, stored) && !widens) return fillPanel(m, t.type, rows, n, out);
    Matrix carried = m;
    carried.format = stored.format;
    carried.blockSize = stored.blockSize;
    carried.hasMinima = stored.hasMinima;
    uint8_t* panel = stored.isGguf() ? scratch.panel.room(carried.panelBytes()) : nullptr;
    float* floats = widens ? reinterpret_cast<float*>(out) : scratch.floats.room(size_t(t.inputs) * lanes);
    widen(t.type, rows, n, t.inputs, panel, floats);
    return widens || kernels_.roundPanel(m, floats, n, out);
  }

  // Null where there are none.
  const float* zeroPointsOf(const PackedTensor& t, size_t blocks, size_t first, size_t rows, Scratch& scratch) {
    if (t.zeroPoints == ZeroPoints::none) return nullptr;
    if (t.zeroPoints == ZeroPoints::f32) return reinterpret_cast<const float*>(read(t.zeros, first, rows, blocks * sizeof(float), scratch.zeros));
    const bool bytes = t.format == Format::int8;
    const size_t rowBytes = bytes ? blocks : (blocks + 1) / 2;
    const uint8_t* packed = read(t.zeros, first, rows, rowBytes, scratch.zeros);
    float* out = scratch.zeroFloats.room(rows * blocks);
    for (size_t row = 0; row < rows; row++)
      for (size_t block = 0; block < blocks; block++)
        out[row * blocks + block] = float(bytes ? packed[row * rowBytes + block] : packed[row * rowBytes + block / 2] >> (block % 2 * 4) & 15);
    return out;
  }

  const uint8_t* read(const Place& place, size_t first, size_t rows, size_t rowBytes, Buffer<uint8_t>& into) {
    uint8_t* to = into.room(rows * rowBytes);
    files_[place.file]->read(place.offset + first * rowBytes, rows * rowBytes, to);
    return to;
  }

  static size_t placeOf(size_t row, size_t head) {
    if (head == 0) return row;
    const size_t within = row % head;
    return row - within + within % (head / 2) * 2 + within / (head / 2);
  }

  void done(uint64_t at, const uint8_t* from, size_t bytes) {
    to_.put(at, from, bytes);
    if (progress_) progress_[0].fetch_add(int32_t(bytes / 1024), std::memory_order_relaxed);
  }

  Target& to_;
  ThreadPool& pool_;
  const Kernels& kernels_;
  std::atomic<int32_t>* progress_;
  std::vector<std::unique_ptr<SourceFile>> files_;
  std::vector<Scratch> scratch_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

void checkAll(const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes, const std::vector<PackedTensor>& tensors) {
  if (files.empty() || header.size() > bytes) throw badCall("there is nothing to pack");
  for (size_t i = 0; i < tensors.size(); i++) check(tensors[i], i, files.size(), header.size(), bytes);
}

}  // namespace

std::shared_ptr<const PackedBytes> packInMemory(const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                                                const std::vector<PackedTensor>& tensors, size_t threads, const Kernels& kernels, std::atomic<int32_t>* progress) {
  checkAll(files, header, bytes, tensors);
  const auto memory = std::make_shared<PackedMemory>(files[0] + ", packed in memory", bytes);
  std::memcpy(memory->writable(), header.data(), header.size());
  ThreadPool pool(threads);
  takeHugePages(*memory, pool);
  MemoryTarget target(*memory);
  Packing(files, target, pool, kernels, progress).run(tensors);
  // What came in small pages the system may put together later, while others wait for nothing.
  preferHugePages(memory->writable(), memory->size());
  return memory;
}

void packToFile(const std::string& path, const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                const std::vector<PackedTensor>& tensors, size_t threads, const Kernels& kernels, std::atomic<int32_t>* progress) {
  checkAll(files, header, bytes, tensors);
  FileTarget target(path);
  target.put(0, header.data(), header.size());
  ThreadPool pool(threads);
  Packing(files, target, pool, kernels, progress).run(tensors);
}

}  // namespace parscale
