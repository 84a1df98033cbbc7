// Keys and values of rows of tokens, in pages of 64 positions that hold all layers. Rows are numbers. Copies share pages until one of
// them writes, so that forking a sequence moves nothing but the page that is being filled.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/kernels.h"

namespace parscale {

struct CacheShape {
  size_t layers = 0, kvHeads = 0, headDim = 0;
  CacheType type = CacheType::f32;
};

class Cache {
 public:
  explicit Cache(const CacheShape&);

  int openRow();
  void closeRow(int row);
  bool isOpen(int row) const { return row >= 0 && size_t(row) < rows_.size() && rows_[size_t(row)].open; }
  // Makes targets[i] a copy of what sources[i] was, all at once.
  void copyRows(const std::vector<int>& targets, const std::vector<int>& sources);

  // Positions that have memory.
  size_t capacity(int row) const { return rows_[size_t(row)].pages.size() * pagePositions; }
  // Makes positions [from, to) writable by this row alone. Throws std::bad_alloc; what was there stays.
  void makeWritable(int row, size_t from, size_t to);
  // Gives back pages that hold positions from `to` on only.
  void forgetFrom(int row, size_t to);
  CachedHead head(int row, size_t layer, size_t kvHead) const;

  size_t positionBytes() const { return pageBytes_ / pagePositions; }
  // Any thread may ask.
  size_t memoryBytes() const { return pages_ * pageBytes_; }

 private:
  struct Page;
  struct Row {
    bool open = false;
    std::vector<std::shared_ptr<Page>> pages;
    // The same, as the kernels want them.
    std::vector<uint8_t*> bytes;
  };

  std::shared_ptr<Page> newPage();

  CacheShape shape_;
  size_t keyBytes_, valueBytes_, headBytes_, pageBytes_;
  std::atomic<size_t> pages_{0};
  std::vector<Row> rows_;
};

}  // namespace parscale
