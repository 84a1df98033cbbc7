#include "pack-memory.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>

#include <ctime>
#endif

#include "buffer.h"
#include "error.h"
#include "source-file.h"
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

// Pages of 2 MiB, of which a core remembers more memory: steps take some 10 % less time. Where the system has none at hand it makes room by moving
// others about, and packing 1 GB took three times as long: so each is asked for by itself, and no more are once that was slow too often.
#if defined(__linux__)
constexpr size_t hugePage = 2 * 1024 * 1024;
// A page that is at hand takes 0.1 to 0.3 ms, most of it zeroing; as much memory in small pages about 1 ms.
constexpr double slowSeconds = 1e-3;
constexpr int mostSlow = 8;

double threadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

void takeHugePages(PackedMemory& memory, ThreadPool& pool) {
  const uintptr_t from = (uintptr_t(memory.writable()) + hugePage - 1) / hugePage, to = (uintptr_t(memory.writable()) + memory.size()) / hugePage;
  if (to <= from) return;
  std::atomic<int> slow{0};
  pool.run(to - from, [&](size_t item, size_t) {
    if (slow.load(std::memory_order_relaxed) > mostSlow) return;
    auto* page = reinterpret_cast<uint8_t*>((from + item) * hugePage);
    if (madvise(page, hugePage, MADV_HUGEPAGE) != 0) slow.store(mostSlow + 1);
    const double began = threadSeconds();
    *page = 0;
    if (threadSeconds() - began > slowSeconds) slow.fetch_add(1);
  });
}
#else
void takeHugePages(PackedMemory&, ThreadPool&) {}
#endif

Matrix matrixOf(const PackedTensor& t) {
  const StoredFormat stored = storedFormat(uint32_t(t.type));
  Matrix m;
  m.format = stored.format;
  m.outputs = t.outputs;
  m.inputs = t.inputs;
  m.blockSize = stored.blockSize;
  m.hasMinima = stored.hasMinima;
  return m;
}

uint64_t packedBytes(const PackedTensor& t) {
  if (t.isVector) return uint64_t(t.outputs) * sizeof(float);
  const Matrix m = matrixOf(t);
  return uint64_t(m.panels()) * m.panelBytes();
}

void check(const PackedTensor& t, size_t number, size_t files, size_t header, size_t bytes) {
  const auto refuse = [&](const std::string& what) { return badCall("tensor " + std::to_string(number) + " " + what); };
  const StoredFormat stored = storedFormat(uint32_t(t.type));
  if (stored.elements == 0) throw refuse("is of the unknown type " + std::to_string(uint32_t(t.type)));
  if (t.file >= files) throw refuse("lies in file " + std::to_string(t.file) + " of " + std::to_string(files));
  if (t.outputs == 0 || t.inputs == 0 || t.inputs % stored.elements != 0)
    throw refuse("of [" + std::to_string(t.outputs) + ", " + std::to_string(t.inputs) + "] is not made of whole blocks");
  if (t.isVector && (t.inputs != 1 || stored.blockSize > 0)) throw refuse("is no vector of floats");
  if (t.interleaved > 0 && (t.interleaved % 2 != 0 || t.outputs % t.interleaved != 0)) throw refuse("is not made of whole heads");
  const uint64_t size = packedBytes(t);
  if (t.at % 64 != 0 || t.at < header || t.at > bytes || size > bytes - t.at) throw refuse("goes past the end of the packed model");
}

class Packing {
 public:
  Packing(const std::vector<std::string>& paths, PackedMemory& to, size_t threads, std::atomic<int32_t>* progress)
      : to_(to), pool_(threads), progress_(progress), buffers_(threads) {
    for (const std::string& path : paths) files_.push_back(std::make_unique<SourceFile>(path));
  }

  void run(const std::vector<PackedTensor>& tensors) {
    takeHugePages(to_, pool_);
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
        pack(pieces[item], size_t(pieces[item].tensor - begin), buffers_[thread]);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_.store(true);
      }
    });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void pack(const Piece& piece, size_t number, Buffer<uint8_t>& buffer) {
    const PackedTensor& t = *piece.tensor;
    const StoredFormat stored = storedFormat(uint32_t(t.type));
    const SourceFile& file = *files_[t.file];
    uint8_t* to = to_.writable() + t.at;
    if (t.isVector) {
      uint8_t* from = buffer.room(t.outputs * stored.bytes);
      file.read(t.offset, t.outputs * stored.bytes, from);
      for (size_t i = 0; i < t.outputs; i++) reinterpret_cast<float*>(to)[i] = widened(t.type, from + placeOf(i, t.interleaved) * stored.bytes);
      return count(t.outputs * sizeof(float));
    }
    const Matrix m = matrixOf(t);
    const size_t rowBytes = stored.rowBytes(t.inputs), first = piece.first * lanes;
    const size_t end = std::min<size_t>(t.outputs, first + piece.panels * lanes);
    // Rows of whole heads, where they are interleaved.
    const size_t head = t.interleaved;
    const size_t readFrom = head ? first / head * head : first, readTo = head ? (end + head - 1) / head * head : end;
    uint8_t* from = buffer.room((readTo - readFrom) * rowBytes);
    file.read(t.offset + readFrom * rowBytes, (readTo - readFrom) * rowBytes, from);
    for (size_t panel = 0; panel < piece.panels; panel++) {
      const uint8_t* rows[lanes];
      const size_t row = first + panel * lanes, n = std::min(lanes, end - row);
      for (size_t i = 0; i < n; i++) rows[i] = from + (placeOf(row + i, head) - readFrom) * rowBytes;
      if (!fillPanel(m, t.type, rows, n, to + (piece.first + panel) * m.panelBytes())) throw Failure("ERR_NOT_FINITE", std::to_string(number));
    }
    count(piece.panels * m.panelBytes());
  }

  static size_t placeOf(size_t row, size_t head) {
    if (head == 0) return row;
    const size_t within = row % head;
    return row - within + within % (head / 2) * 2 + within / (head / 2);
  }

  void count(size_t bytes) {
    if (progress_) progress_[0].fetch_add(int32_t(bytes / 1024), std::memory_order_relaxed);
  }

  PackedMemory& to_;
  ThreadPool pool_;
  std::atomic<int32_t>* progress_;
  std::vector<std::unique_ptr<SourceFile>> files_;
  std::vector<Buffer<uint8_t>> buffers_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

std::shared_ptr<const PackedBytes> packInMemory(const std::vector<std::string>& files, const std::vector<uint8_t>& header, size_t bytes,
                                                const std::vector<PackedTensor>& tensors, size_t threads, std::atomic<int32_t>* progress) {
  if (files.empty() || header.size() > bytes) throw badCall("there is nothing to pack");
  for (size_t i = 0; i < tensors.size(); i++) check(tensors[i], i, files.size(), header.size(), bytes);
  const auto memory = std::make_shared<PackedMemory>(files[0] + ", packed in memory", bytes);
  std::memcpy(memory->writable(), header.data(), header.size());
  Packing(files, *memory, threads, progress).run(tensors);
  // What came in small pages the system may put together later, while others wait for nothing.
  preferHugePages(memory->writable(), memory->size());
  return memory;
}

}  // namespace parscale
