#include "cache.h"

#include <algorithm>
#include <cstring>

#include "aligned.h"

namespace parscale {

// Counts itself, so that the cache knows what it holds.
struct Cache::Page {
  explicit Page(size_t size, std::atomic<size_t>& count) : count_(count) {
    bytes = static_cast<uint8_t*>(allocateAligned(size));
    count_++;
  }
  ~Page() {
    freeAligned(bytes);
    count_--;
  }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  uint8_t* bytes;

 private:
  std::atomic<size_t>& count_;
};

Cache::Cache(const CacheShape& shape) : shape_(shape) {
  const size_t bytes = shape.type == CacheType::f32 ? 4 : shape.type == CacheType::f16 ? 2 : 1;
  const auto aligned = [](size_t n) { return (n + 63) / 64 * 64; };
  CachedHead head;
  head.type = shape.type;
  head.headDim = shape.headDim;
  keyBytes_ = aligned(pagePositions * head.keyStride() * bytes);
  valueBytes_ = aligned(pagePositions * head.valueStride() * bytes);
  const size_t scales = shape.type == CacheType::int8 ? 2 * pagePositions * sizeof(float) : 0;
  headBytes_ = keyBytes_ + valueBytes_ + scales;
  pageBytes_ = headBytes_ * shape.kvHeads * shape.layers;
}

int Cache::openRow() {
  size_t row = 0;
  while (row < rows_.size() && rows_[row].open) row++;
  if (row == rows_.size()) rows_.emplace_back();
  rows_[row].open = true;
  return int(row);
}

void Cache::closeRow(int row) { rows_[size_t(row)] = Row(); }

void Cache::copyRows(const std::vector<int>& targets, const std::vector<int>& sources) {
  std::vector<Row> copies;
  for (const int source : sources) copies.push_back(rows_[size_t(source)]);
  for (size_t i = 0; i < targets.size(); i++) rows_[size_t(targets[i])] = std::move(copies[i]);
}

std::shared_ptr<Cache::Page> Cache::newPage() {
  auto page = std::make_shared<Page>(pageBytes_, pages_);
  // Nothing reads a position before it is written, but for the lanes beside it, whose results are thrown away.
  std::memset(page->bytes, 0, pageBytes_);
  return page;
}

void Cache::makeWritable(int row, size_t from, size_t to) {
  Row& r = rows_[size_t(row)];
  const size_t last = (to + pagePositions - 1) / pagePositions;
  r.pages.reserve(last);
  r.bytes.reserve(last);
  while (r.pages.size() < last) {
    r.pages.push_back(newPage());
    r.bytes.push_back(r.pages.back()->bytes);
  }
  for (size_t page = from / pagePositions; page < last; page++) {
    if (r.pages[page].use_count() == 1) continue;
    auto own = newPage();
    std::memcpy(own->bytes, r.pages[page]->bytes, pageBytes_);
    r.pages[page] = std::move(own);
    r.bytes[page] = r.pages[page]->bytes;
  }
}

void Cache::forgetFrom(int row, size_t to) {
  Row& r = rows_[size_t(row)];
  const size_t last = std::min(r.pages.size(), (to + pagePositions - 1) / pagePositions);
  r.pages.resize(last);
  r.bytes.resize(last);
}

CachedHead Cache::head(int row, size_t layer, size_t kvHead) const {
  CachedHead head;
  head.pages = rows_[size_t(row)].bytes.data();
  head.type = shape_.type;
  head.headDim = shape_.headDim;
  head.keys = (layer * shape_.kvHeads + kvHead) * headBytes_;
  head.values = head.keys + keyBytes_;
  head.keyScales = head.values + valueBytes_;
  head.valueScales = head.keyScales + pagePositions * sizeof(float);
  return head;
}

}  // namespace parscale
