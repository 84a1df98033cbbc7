// The border to JavaScript, in Node's C interface. Every size is checked here before memory is touched; behind it nothing is.
// Functions take plain handles and typed arrays; native.ts gives them their types.
#define NAPI_VERSION 8
#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "instruction-sets.h"
#include "step.h"

namespace parscale {
namespace {

// ---- JavaScript values ----

// A JavaScript exception is pending; unwinds to the entry.
struct Pending {};

void must(napi_status status) {
  if (status != napi_ok) throw Pending();
}

template <class T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
  std::vector<T> copy() const { return std::vector<T>(data, data + size); }
};

template <class T>
constexpr napi_typedarray_type arrayType();
template <>
constexpr napi_typedarray_type arrayType<float>() { return napi_float32_array; }
template <>
constexpr napi_typedarray_type arrayType<int32_t>() { return napi_int32_array; }
template <>
constexpr napi_typedarray_type arrayType<uint8_t>() { return napi_uint8_array; }

template <class T>
Span<T> arrayOf(napi_env env, napi_value value, const char* name) {
  bool is = false;
  must(napi_is_typedarray(env, value, &is));
  napi_typedarray_type type;
  Span<T> span;
  void* data = nullptr;
  if (is) must(napi_get_typedarray_info(env, value, &type, &span.size, &data, nullptr, nullptr));
  if (!is || type != arrayType<T>()) throw badCall(std::string(name) + " is not a typed array of the expected type");
  span.data = static_cast<T*>(data);
  return span;
}

template <class T>
Span<T> arrayOf(napi_env env, napi_value value, const char* name, size_t size) {
  const Span<T> span = arrayOf<T>(env, value, name);
  if (span.size != size)
    throw badCall(std::string(name) + " has " + std::to_string(span.size) + " elements, expected " + std::to_string(size));
  return span;
}

int64_t integerOf(napi_env env, napi_value value, const char* name, int64_t least, int64_t most) {
  double x;
  if (napi_get_value_double(env, value, &x) != napi_ok || !(x >= double(least) && x <= double(most)) || x != std::floor(x))
    throw badCall(std::string(name) + " is not an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return int64_t(x);
}

std::string stringOf(napi_env env, napi_value value, const char* name) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok)
    throw badCall(std::string(name) + " is not a string");
  std::string text(length, '\0');
  must(napi_get_value_string_utf8(env, value, &text[0], length + 1, &length));
  return text;
}

napi_value property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) throw Pending();
  return value;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  must(napi_set_named_property(env, object, name, value));
}

napi_value number(napi_env env, double x) {
  napi_value value;
  must(napi_create_double(env, x, &value));
  return value;
}

napi_value string(napi_env env, const std::string& text) {
  napi_value value;
  must(napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

napi_value object(napi_env env) {
  napi_value value;
  must(napi_create_object(env, &value));
  return value;
}

napi_value undefined(napi_env env) {
  napi_value value;
  must(napi_get_undefined(env, &value));
  return value;
}

template <class T>
napi_value newArray(napi_env env, size_t n, T** data) {
  napi_value buffer, array;
  void* memory = nullptr;
  if (n > (size_t(1) << 31) / sizeof(T) || napi_create_arraybuffer(env, n * sizeof(T), &memory, &buffer) != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) throw Pending();
    throw std::bad_alloc();
  }
  must(napi_create_typedarray(env, arrayType<T>(), n, buffer, 0, &array));
  *data = static_cast<T*>(memory);
  return array;
}

napi_value errorValue(napi_env env, const char* code, const std::string& message) {
  napi_value error;
  must(napi_create_error(env, string(env, code), string(env, message), &error));
  return error;
}

// ---- handles ----

constexpr napi_type_tag modelTag{0x7c1f4a1be3a54c1d, 0x9d1f6a0c52b8e701};
constexpr napi_type_tag aggregatorTag{0x2f8b61d05e9c4f37, 0xb64a3c9e70d512a2};

struct ModelHandle {
  // Empty once closed.
  std::shared_ptr<Model> model;
  // Rows that are open, and whether something runs: both belong to JavaScript's thread.
  bool busy = false;
};

struct AggregatorHandle {
  std::shared_ptr<const PackedModel> model;
};

// Stops what runs when a worker or the process ends: its end waits for the step.
void stopModel(void* data) {
  auto* handle = static_cast<ModelHandle*>(data);
  if (handle->model) handle->model->cancel();
}

template <class Handle>
napi_value wrapped(napi_env env, std::unique_ptr<Handle> handle, const napi_type_tag& tag, napi_finalize finalize) {
  napi_value value = object(env);
  must(napi_type_tag_object(env, value, &tag));
  must(napi_wrap(env, value, handle.get(), finalize, nullptr, nullptr));
  handle.release();
  return value;
}

template <class Handle>
Handle& unwrapped(napi_env env, napi_value value, const napi_type_tag& tag, const char* name) {
  napi_valuetype type;
  must(napi_typeof(env, value, &type));
  bool is = false;
  if (type == napi_object) must(napi_check_object_type_tag(env, value, &tag, &is));
  if (!is) throw badCall(std::string("expected ") + name);
  void* handle;
  must(napi_unwrap(env, value, &handle));
  return *static_cast<Handle*>(handle);
}

ModelHandle& modelOf(napi_env env, napi_value value) {
  ModelHandle& handle = unwrapped<ModelHandle>(env, value, modelTag, "a model");
  if (!handle.model) throw Failure("ERR_CLOSED", "the model is closed");
  return handle;
}

// For what must not happen under a running step.
ModelHandle& idleModelOf(napi_env env, napi_value value) {
  ModelHandle& handle = modelOf(env, value);
  if (handle.busy) throw Failure("ERR_BUSY", "the model is busy with a step; wait for it first");
  return handle;
}

int rowOf(napi_env env, napi_value value, Model& model) {
  const int row = int(integerOf(env, value, "row", 0, INT32_MAX));
  if (!model.cache().isOpen(row)) throw badCall("row " + std::to_string(row) + " is not open");
  return row;
}

// ---- work off JavaScript's thread ----

struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  // Keep the handle and the results' memory alive.
  napi_ref handleRef = nullptr, resultRef = nullptr;
  ModelHandle* handle = nullptr;
  std::shared_ptr<Model> model;
  std::function<void(Model&)> run;
  std::string code, message;
};

void executeTask(napi_env, void* data) {
  Task& task = *static_cast<Task*>(data);
  try {
    task.run(*task.model);
  } catch (const Failure& failure) {
    task.code = failure.code;
    task.message = failure.what();
  } catch (const std::bad_alloc&) {
    task.code = "ERR_OUT_OF_MEMORY";
    task.message = "there is not enough memory for this step; take fewer rows or a shorter context, or a cache of fewer bits";
  } catch (const std::exception& error) {
    task.code = "ERR_NATIVE";
    task.message = error.what();
  }
}

void completeTask(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  task->handle->busy = false;
  try {
    if (status != napi_ok && task->code.empty()) {
      task->code = "ERR_CLOSED";
      task->message = "the step was cancelled";
    }
    napi_value result;
    must(napi_get_reference_value(env, task->resultRef, &result));
    if (task->code.empty()) must(napi_resolve_deferred(env, task->deferred, result));
    else must(napi_reject_deferred(env, task->deferred, errorValue(env, task->code.c_str(), task->message)));
  } catch (const Pending&) {
    // The environment is going down, and with it whoever waited.
  }
  napi_delete_reference(env, task->handleRef);
  napi_delete_reference(env, task->resultRef);
  napi_delete_async_work(env, task->work);
}

// Runs `run` on another thread; a promise of `result`, whose memory `run` fills.
napi_value promise(napi_env env, napi_value handleValue, ModelHandle& handle, napi_value result, std::function<void(Model&)> run) {
  auto task = std::make_unique<Task>();
  task->handle = &handle;
  task->model = handle.model;
  task->run = std::move(run);
  napi_value value;
  must(napi_create_reference(env, handleValue, 1, &task->handleRef));
  must(napi_create_reference(env, result, 1, &task->resultRef));
  must(napi_create_async_work(env, nullptr, string(env, "parscale"), executeTask, completeTask, task.get(), &task->work));
  must(napi_create_promise(env, &task->deferred, &value));
  must(napi_queue_async_work(env, task->work));
  handle.busy = true;
  task.release();
  return value;
}

// ---- what JavaScript calls ----

using Arguments = const napi_value*;

// () => string[]
napi_value instructionSets(napi_env env, Arguments) {
  napi_value list;
  must(napi_create_array(env, &list));
  uint32_t i = 0;
  for (const Kernels* kernels : availableKernels()) must(napi_set_element(env, list, i++, string(env, kernels->name)));
  return list;
}

// (path, threads, cacheType, instructionSet)
napi_value openModel(napi_env env, Arguments a) {
  const std::string path = stringOf(env, a[0], "path"), name = stringOf(env, a[3], "instructionSet");
  const auto threads = size_t(integerOf(env, a[1], "threads", 1, 1024));
  const auto cacheType = CacheType(integerOf(env, a[2], "cacheType", 0, 2));
  const std::vector<const Kernels*> all = availableKernels();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Kernels* k) { return name == k->name; });
  if (found == all.end()) throw badCall("this CPU has no instruction set " + name);
  auto handle = std::make_unique<ModelHandle>();
  handle->model = std::make_shared<Model>(path, **found, threads, cacheType);
  if (handle->model->weights().layers.empty()) throw badFile(path, "holds an aggregator, expected a backbone");
  ModelHandle* raw = handle.get();
  const napi_value value = wrapped(env, std::move(handle), modelTag, [](napi_env env, void* data, void*) {
    napi_remove_env_cleanup_hook(env, stopModel, data);
    delete static_cast<ModelHandle*>(data);
  });
  must(napi_add_env_cleanup_hook(env, stopModel, raw));
  return value;
}

// (path)
napi_value openAggregator(napi_env env, Arguments a) {
  const std::string path = stringOf(env, a[0], "path");
  auto handle = std::make_unique<AggregatorHandle>();
  handle->model = std::make_shared<PackedModel>(openPackedModel(path));
  if (handle->model->streams == 0) throw badFile(path, "holds a backbone, expected an aggregator");
  return wrapped(env, std::move(handle), aggregatorTag,
                 [](napi_env, void* data, void*) { delete static_cast<AggregatorHandle*>(data); });
}

// (model) => { instructionSet, threads, vocabSize, hiddenSize, layers, kvHeads, headDim }
napi_value describe(napi_env env, Arguments a) {
  const Model& model = *modelOf(env, a[0]).model;
  const PackedModel& w = model.weights();
  const napi_value about = object(env);
  set(env, about, "instructionSet", string(env, model.kernels().name));
  set(env, about, "threads", number(env, double(model.threads())));
  set(env, about, "vocabSize", number(env, w.vocabulary));
  set(env, about, "hiddenSize", number(env, w.hidden));
  set(env, about, "layers", number(env, double(w.layers.size())));
  set(env, about, "kvHeads", number(env, w.kvHeads));
  set(env, about, "headDim", number(env, w.headDim));
  return about;
}

// (model): what runs stops at the next layer; memory goes with it.
napi_value closeModel(napi_env env, Arguments a) {
  ModelHandle& handle = unwrapped<ModelHandle>(env, a[0], modelTag, "a model");
  if (handle.model) handle.model->cancel();
  handle.model.reset();
  return undefined(env);
}

// (model) => bytes
napi_value cacheBytes(napi_env env, Arguments a) {
  return number(env, double(idleModelOf(env, a[0]).model->cache().memoryBytes()));
}

// (model) => row
napi_value openRow(napi_env env, Arguments a) { return number(env, idleModelOf(env, a[0]).model->cache().openRow()); }

// (model, row)
napi_value closeRow(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  model.cache().closeRow(rowOf(env, a[1], model));
  return undefined(env);
}

// (model, targets Int32Array, sources Int32Array)
napi_value copyRows(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  const std::vector<int32_t> targets = arrayOf<int32_t>(env, a[1], "targets").copy();
  const std::vector<int32_t> sources = arrayOf<int32_t>(env, a[2], "sources", targets.size()).copy();
  for (const auto& rows : {targets, sources})
    for (const int row : rows)
      if (!model.cache().isOpen(row)) throw badCall("row " + std::to_string(row) + " is not open");
  model.cache().copyRows(targets, sources);
  return undefined(env);
}

// (model, row, layer, key, value): the first places of a row, Float32Array [kvHeads, n, headDim] each.
napi_value writePrefix(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  const PackedModel& w = model.weights();
  const int row = rowOf(env, a[1], model);
  const auto layer = size_t(integerOf(env, a[2], "layer", 0, int64_t(w.layers.size()) - 1));
  const Span<float> key = arrayOf<float>(env, a[3], "key");
  const Span<float> value = arrayOf<float>(env, a[4], "value", key.size);
  const size_t perPlace = size_t(w.kvHeads) * w.headDim, places = key.size / perPlace;
  if (key.size % perPlace != 0) throw badCall("key has " + std::to_string(key.size) + " elements, expected whole places of " + std::to_string(perPlace));
  model.cache().makeWritable(row, 0, places);
  for (size_t head = 0; head < w.kvHeads; head++) {
    for (size_t place = 0; place < places; place++) {
      const size_t at = (head * places + place) * w.headDim;
      if (!model.kernels().remember(model.cache().head(row, layer, head), place, key.data + at, value.data + at))
        throw badCall("the prefix of layer " + std::to_string(layer) + " is not finite");
    }
  }
  return undefined(env);
}

StepInput stepInput(napi_env env, napi_value batch, Model& model) {
  const PackedModel& w = model.weights();
  const auto rows = arrayOf<int32_t>(env, property(env, batch, "rows"), "rows");
  const size_t R = rows.size;
  const auto prefixes = arrayOf<int32_t>(env, property(env, batch, "prefixes"), "prefixes", R);
  const auto scores = arrayOf<float>(env, property(env, batch, "prefixScores"), "prefixScores", R);
  const auto lengths = arrayOf<int32_t>(env, property(env, batch, "lengths"), "lengths", R);
  const auto counts = arrayOf<int32_t>(env, property(env, batch, "counts"), "counts", R);
  const auto ids = arrayOf<int32_t>(env, property(env, batch, "ids"), "ids");
  StepInput input;
  size_t tokens = 0;
  if (R == 0) throw badCall("a step needs at least one row");
  for (size_t i = 0; i < R; i++) {
    const std::string at = "row " + std::to_string(rows.data[i]);
    if (!model.cache().isOpen(rows.data[i])) throw badCall(at + " is not open");
    if (prefixes.data[i] < 0 || lengths.data[i] < 0 || counts.data[i] < 1)
      throw badCall(at + " has a prefix of " + std::to_string(prefixes.data[i]) + ", " + std::to_string(lengths.data[i]) +
                    " tokens and " + std::to_string(counts.data[i]) + " new ones");
    if (std::isnan(scores.data[i])) throw badCall(at + " has a prefix score that is not a number");
    StepRow row;
    row.cacheRow = rows.data[i];
    row.prefix = size_t(prefixes.data[i]);
    row.prefixScore = scores.data[i];
    row.length = size_t(lengths.data[i]);
    row.count = size_t(counts.data[i]);
    if (row.prefix + row.length > model.cache().capacity(row.cacheRow))
      throw badCall(at + " holds " + std::to_string(model.cache().capacity(row.cacheRow)) + " places at most, not " +
                    std::to_string(row.prefix + row.length));
    tokens += row.count;
    input.rows.push_back(row);
  }
  std::vector<int32_t> sorted = rows.copy();
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) throw badCall("a row stands twice in one step");
  if (tokens != ids.size)
    throw badCall("ids has " + std::to_string(ids.size) + " elements, the rows have " + std::to_string(tokens) + " tokens");
  for (size_t i = 0; i < tokens; i++) {
    if (ids.data[i] < 0 || uint32_t(ids.data[i]) >= w.vocabulary)
      throw badCall("token id " + std::to_string(ids.data[i]) + " is not in the vocabulary of " + std::to_string(w.vocabulary));
  }
  input.ids = ids.copy();
  input.cosines = arrayOf<float>(env, property(env, batch, "cosines"), "cosines", tokens * (w.headDim / 2)).copy();
  input.sines = arrayOf<float>(env, property(env, batch, "sines"), "sines", tokens * (w.headDim / 2)).copy();
  input.wanted = arrayOf<uint8_t>(env, property(env, batch, "wanted"), "wanted", tokens).copy();
  return input;
}

// (model, batch) => Promise<{ hidden, finite }>
napi_value step(napi_env env, Arguments a) {
  ModelHandle& handle = idleModelOf(env, a[0]);
  auto input = std::make_shared<const StepInput>(stepInput(env, a[1], *handle.model));
  size_t wanted = 0;
  for (const uint8_t want : input->wanted) wanted += want != 0;
  const napi_value result = object(env);
  float* hidden;
  uint8_t* finite;
  set(env, result, "hidden", newArray(env, wanted * handle.model->weights().hidden, &hidden));
  set(env, result, "finite", newArray(env, input->rows.size(), &finite));
  return promise(env, a[0], handle, result, [=](Model& model) { model.step(*input, hidden, finite); });
}

// (model, hidden) => Promise<Float32Array>
napi_value logits(napi_env env, Arguments a) {
  ModelHandle& handle = idleModelOf(env, a[0]);
  const PackedModel& w = handle.model->weights();
  const Span<float> hidden = arrayOf<float>(env, a[1], "hidden");
  const size_t n = hidden.size / w.hidden;
  if (n == 0 || hidden.size % w.hidden != 0)
    throw badCall("hidden has " + std::to_string(hidden.size) + " elements, expected whole rows of " + std::to_string(w.hidden));
  auto input = std::make_shared<const std::vector<float>>(hidden.copy());
  float* out;
  const napi_value result = newArray(env, n * w.vocabulary, &out);
  return promise(env, a[0], handle, result, [=](Model& model) { model.logits(input->data(), n, out); });
}

// (model, aggregator, streams) => Promise<{ hidden, weights }>
napi_value aggregate(napi_env env, Arguments a) {
  ModelHandle& handle = idleModelOf(env, a[0]);
  const auto aggregator = unwrapped<AggregatorHandle>(env, a[1], aggregatorTag, "an aggregator").model;
  const size_t H = aggregator->hidden, P = aggregator->streams;
  const Span<float> streams = arrayOf<float>(env, a[2], "streams");
  const size_t n = streams.size / (P * H);
  if (n == 0 || streams.size % (P * H) != 0)
    throw badCall("streams has " + std::to_string(streams.size) + " elements, expected whole tokens of " + std::to_string(P * H));
  auto input = std::make_shared<const std::vector<float>>(streams.copy());
  const napi_value result = object(env);
  float *hidden, *shares;
  set(env, result, "hidden", newArray(env, n * H, &hidden));
  set(env, result, "weights", newArray(env, n * P, &shares));
  return promise(env, a[0], handle, result,
                 [=](Model& model) { model.aggregate(*aggregator, input->data(), n, hidden, shares); });
}

// ---- entries ----

constexpr size_t mostArguments = 5;

template <napi_value (*function)(napi_env, Arguments)>
napi_value entry(napi_env env, napi_callback_info info) {
  try {
    napi_value arguments[mostArguments];
    size_t count = mostArguments;
    must(napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr));
    return function(env, arguments);
  } catch (const Pending&) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_error(env, "ERR_NATIVE", "a call into Node failed");
  } catch (const Failure& failure) {
    napi_throw_error(env, failure.code, failure.what());
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", "there is not enough memory");
  } catch (const std::exception& error) {
    napi_throw_error(env, "ERR_NATIVE", error.what());
  }
  return nullptr;
}

napi_value init(napi_env env, napi_value exports) {
  const auto add = [&](const char* name, napi_callback function) {
    napi_value value;
    must(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value));
    set(env, exports, name, value);
  };
  try {
    add("instructionSets", entry<instructionSets>);
    add("openModel", entry<openModel>);
    add("openAggregator", entry<openAggregator>);
    add("describe", entry<describe>);
    add("closeModel", entry<closeModel>);
    add("cacheBytes", entry<cacheBytes>);
    add("openRow", entry<openRow>);
    add("closeRow", entry<closeRow>);
    add("copyRows", entry<copyRows>);
    add("writePrefix", entry<writePrefix>);
    add("step", entry<step>);
    add("logits", entry<logits>);
    add("aggregate", entry<aggregate>);
  } catch (const Pending&) {
    napi_throw_error(env, "ERR_NATIVE", "the native step cannot be set up in this Node");
  }
  return exports;
}

}  // namespace
}  // namespace parscale

NAPI_MODULE_INIT() { return parscale::init(env, exports); }
