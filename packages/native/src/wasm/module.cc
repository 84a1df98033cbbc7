// The border to JavaScript in a page: functions over addresses, called by @parscale/core's web/step, behind an engine whose rows and tokens are right. One
// instance of the module has one backbone and its aggregators; it ends when its memory is let go of.
//
// Threads are workers with an instance each over the same memory: they call `work`, which does not return. They must not allocate, as this C
// library does not lock: what ThreadPool::run calls takes memory that was made before.
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <typeinfo>
#include <vector>

#include "../error.h"
#include "../step.h"

#define JAVASCRIPT_CALLS(name) extern "C" __attribute__((export_name(#name), used))

namespace parscale {

extern const Kernels simd128Kernels;

namespace {

// Bytes that JavaScript has filled. Nobody frees them.
struct GivenBytes : PackedBytes {
  GivenBytes(const uint8_t* bytes, size_t size) : PackedBytes("the packed model") {
    bytes_ = bytes;
    size_ = size;
  }
};

std::unique_ptr<Model> model;
std::vector<std::unique_ptr<const PackedModel>> aggregators;

template <class T>
std::vector<T> copied(const T* from, size_t n) { return std::vector<T>(from, from + n); }

}  // namespace

// Aligned for any register; 0 where there is not so much.
JAVASCRIPT_CALLS(allocate) void* allocate(size_t bytes) { return ::operator new(bytes, registerAlignment, std::nothrow); }
JAVASCRIPT_CALLS(release) void release(void* memory) { freeAligned(memory); }

JAVASCRIPT_CALLS(openModel) void openModel(const uint8_t* bytes, size_t size, size_t threads, uint32_t cacheType) {
  model = std::make_unique<Model>(openPackedModel(std::make_shared<GivenBytes>(bytes, size)), simd128Kernels, threads, CacheType(cacheType));
  if (model->weights().layers.empty()) throw badFile(model->weights().file->path(), "holds an aggregator, expected a backbone");
}
JAVASCRIPT_CALLS(openAggregator) size_t openAggregator(const uint8_t* bytes, size_t size) {
  aggregators.push_back(std::make_unique<const PackedModel>(openPackedModel(std::make_shared<GivenBytes>(bytes, size))));
  if (aggregators.back()->streams == 0) throw badFile("the packed aggregator", "holds a backbone, expected an aggregator");
  return aggregators.size() - 1;
}

JAVASCRIPT_CALLS(work) void work(size_t thread) { model->pool().work(thread); }
// A word that is not 0 once a thread has failed: who waits for it gives up.
JAVASCRIPT_CALLS(failedWord) const void* failedWord() { return &ThreadPool::failed; }

JAVASCRIPT_CALLS(positionBytes) double positionBytes() { return double(model->cache().positionBytes()); }
JAVASCRIPT_CALLS(cacheBytes) double cacheBytes() { return double(model->cache().memoryBytes()); }
JAVASCRIPT_CALLS(openRow) int openRow() { return model->cache().openRow(); }
JAVASCRIPT_CALLS(closeRow) void closeRow(int row) { model->cache().closeRow(row); }
JAVASCRIPT_CALLS(copyRows) void copyRows(const int32_t* targets, const int32_t* sources, size_t n) {
  model->cache().copyRows(copied(targets, n), copied(sources, n));
}

// key, value [kvHeads, positions, headDim]. 0: they are not finite.
JAVASCRIPT_CALLS(writePrefix) int writePrefix(int row, size_t layer, size_t positions, const float* key, const float* value) {
  const PackedModel& w = model->weights();
  bool finite = true;
  model->cache().makeWritable(row, 0, positions);
  for (size_t head = 0; head < w.kvHeads; head++) {
    for (size_t position = 0; position < positions; position++) {
      const size_t at = (head * positions + position) * w.headDim;
      finite &= model->kernels().appendKv(model->cache().head(row, layer, head), position, key + at, value + at);
    }
  }
  return finite;
}

JAVASCRIPT_CALLS(openAdapters) void openAdapters(size_t count, size_t rank) { model->openAdapters(count, rank); }
// values [adapters][adapterSize]. 0: there is no such tensor.
JAVASCRIPT_CALLS(adapterSize) size_t adapterSize(uint32_t kind, size_t part) { return model->adapterSize(AdapterKind(kind), part); }
JAVASCRIPT_CALLS(writeAdapters) void writeAdapters(uint32_t kind, size_t layer, size_t part, const float* values) {
  const size_t size = model->adapters().count * model->adapterSize(AdapterKind(kind), part);
  model->writeAdapters(AdapterKind(kind), layer, part, copied(values, size));
}

struct JavaScriptRow {
  int32_t row, prefix;
  float prefixScore;
  int32_t length, count, adapter;
};

// Rows, then of all their tokens ids [M], cosines and sines [M, headDim / 2], wanted [M]; out hidden [wanted, hidden], finite [rows].
JAVASCRIPT_CALLS(step)
void step(const JavaScriptRow* rows, size_t count, const int32_t* ids, const float* cosines, const float* sines, const uint8_t* wanted, size_t tokens,
          float* hidden, uint8_t* finite) {
  StepInput input;
  for (size_t i = 0; i < count; i++) {
    StepRow row;
    row.cacheRow = rows[i].row;
    row.prefix = size_t(rows[i].prefix);
    row.prefixScore = rows[i].prefixScore;
    row.length = size_t(rows[i].length);
    row.count = size_t(rows[i].count);
    row.adapter = uint32_t(rows[i].adapter);
    input.rows.push_back(row);
  }
  const size_t half = model->weights().headDim / 2;
  input.ids = copied(ids, tokens);
  input.cosines = copied(cosines, tokens * half);
  input.sines = copied(sines, tokens * half);
  input.wanted = copied(wanted, tokens);
  model->step(input, hidden, finite);
}

// hidden [n, H] to out [n, vocabulary], and powers [n, 2] where not null.
JAVASCRIPT_CALLS(logits) void logits(const float* hidden, size_t n, float* out, double* powers) { model->logits(hidden, n, out, powers); }

// streams [n, P, H] to hidden [n, H] and weights [n, P].
JAVASCRIPT_CALLS(aggregate) void aggregate(size_t aggregator, const float* streams, size_t n, float* hidden, float* weights) {
  model->aggregate(*aggregators[aggregator], streams, n, hidden, weights);
}

}  // namespace parscale

// What is thrown goes to JavaScript, which throws it there; nobody catches it here, and the module is not used again.
extern "C" {
[[noreturn]] __attribute__((import_module("parscale"), import_name("fail"))) void failInJavaScript(const char* text, size_t length);

void* __cxa_allocate_exception(size_t bytes) noexcept { return malloc(bytes); }
[[noreturn]] void __cxa_throw(void* thrown, std::type_info* type, void (*)(void*)) {
  if (*type == typeid(parscale::Failure)) {
    const auto& failure = *static_cast<const parscale::Failure*>(thrown);
    const std::string text = failure.what();
    failInJavaScript(text.data(), text.size());
  }
  failInJavaScript("", 0);
}
}

namespace parscale {
void noMemoryLeft() { failInJavaScript("", 0); }
}  // namespace parscale
