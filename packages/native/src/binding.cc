// The border to JavaScript, in Node's C interface. Every size is checked here before memory is touched; behind it nothing is.
// Functions take plain handles and typed arrays; native-module.ts gives them their types.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "graphs/graph-binding.h"
#include "instruction-sets.h"
#include "interrupts.h"
#include "js-functions.h"
#include "js-values.h"
#include "pack-binding.h"
#include "probe.h"
#include "step.h"

namespace parscale {
namespace {

// ---- handles ----

constexpr napi_type_tag modelTag{0x7c1f4a1be3a54c1d, 0x9d1f6a0c52b8e701};
constexpr napi_type_tag aggregatorTag{0x2f8b61d05e9c4f37, 0xb64a3c9e70d512a2};

struct ModelHandle {
  // Empty once closed.
  std::shared_ptr<Model> model;
  // Rows that are open, and whether something runs: both belong to JavaScript's thread.
  bool busy = false;
};

constexpr napi_type_tag probeTag{0x51c0a7d94b3e4f62, 0x8e27d1b6035fa9c4};

struct ProbeHandle {
  std::unique_ptr<Probe> probe;
};

struct AggregatorHandle {
  std::shared_ptr<const PackedModel> model;
};

// Stops what runs when a worker or the process ends: its end waits for the step.
void stopModel(void* data) {
  auto* handle = static_cast<ModelHandle*>(data);
  if (handle->model) handle->model->cancel();
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
    task.model->weights().file->mustBeWhole();
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
  // Hooks of async resources run below: what they ask of this model is refused already.
  handle.busy = true;
  const auto release = [](ModelHandle* h) { h->busy = false; };
  std::unique_ptr<ModelHandle, decltype(release)> busy(&handle, release);
  must(napi_create_reference(env, handleValue, 1, &task->handleRef));
  must(napi_create_reference(env, result, 1, &task->resultRef));
  must(napi_create_async_work(env, nullptr, string(env, "parscale"), executeTask, completeTask, task.get(), &task->work));
  must(napi_create_promise(env, &task->deferred, &value));
  must(napi_queue_async_work(env, task->work));
  busy.release();
  task.release();
  return value;
}

// ---- what JavaScript calls ----

// () => string[]
napi_value instructionSets(napi_env env, Arguments) {
  napi_value list;
  must(napi_create_array(env, &list));
  uint32_t i = 0;
  for (const Kernels* kernels : availableKernels()) must(napi_set_element(env, list, i++, string(env, kernels->name)));
  return list;
}

// () => string | undefined
napi_value refusedInstructionSet(napi_env env, Arguments) {
  if (const char* name = refusedKernels()) return string(env, name);
  napi_value nothing;
  must(napi_get_undefined(env, &nothing));
  return nothing;
}

// C would take a name that ends early for another file's.
std::string pathOf(napi_env env, napi_value value) {
  const std::string path = stringOf(env, value, "path");
  if (path.find('\0') != std::string::npos) throw badCall("path has a character of code 0 in it");
  return path;
}

// Of a packed file's path, or of what pack gave.
PackedModel packedModelOf(napi_env env, napi_value value) {
  napi_valuetype type;
  must(napi_typeof(env, value, &type));
  return type == napi_object ? openPackedModel(packedBytesOf(env, value)) : openPackedModel(pathOf(env, value));
}

// (path or packed, threads, cacheType, instructionSet)
napi_value openModel(napi_env env, Arguments a) {
  const std::string name = stringOf(env, a[3], "instructionSet");
  const auto threads = size_t(integerOf(env, a[1], "threads", 1, 1024));
  const auto cacheType = CacheType(integerOf(env, a[2], "cacheType", 0, 2));
  const std::vector<const Kernels*> all = availableKernels();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Kernels* k) { return name == k->name; });
  if (found == all.end()) throw badCall("this CPU has no instruction set " + name);
  auto handle = std::make_unique<ModelHandle>();
  handle->model = std::make_shared<Model>(packedModelOf(env, a[0]), **found, threads, cacheType);
  const PackedModel& weights = handle->model->weights();
  if (weights.layers.empty()) throw badFile(weights.file->path(), "holds an aggregator, expected a backbone");
  ModelHandle* raw = handle.get();
  const napi_value value = wrapped(env, std::move(handle), modelTag, [](napi_env env, void* data, void*) {
    napi_remove_env_cleanup_hook(env, stopModel, data);
    delete static_cast<ModelHandle*>(data);
  });
  must(napi_add_env_cleanup_hook(env, stopModel, raw));
  return value;
}

// (path, or what pack gave)
napi_value openAggregator(napi_env env, Arguments a) {
  auto handle = std::make_unique<AggregatorHandle>();
  handle->model = std::make_shared<PackedModel>(packedModelOf(env, a[0]));
  if (handle->model->streams == 0) throw badFile(handle->model->file->path(), "holds a backbone, expected an aggregator");
  return wrapped(env, std::move(handle), aggregatorTag,
                 [](napi_env, void* data, void*) { delete static_cast<AggregatorHandle*>(data); });
}

// (model) => { instructionSet, threads, vocabSize, hiddenSize, layers, kvHeads, headDim }
napi_value describe(napi_env env, Arguments a) {
  Model& model = *modelOf(env, a[0]).model;
  const PackedModel& w = model.weights();
  const napi_value about = object(env);
  set(env, about, "instructionSet", string(env, model.kernels().name));
  set(env, about, "threads", number(env, double(model.threads())));
  set(env, about, "vocabSize", number(env, w.vocabulary));
  set(env, about, "hiddenSize", number(env, w.hidden));
  set(env, about, "layers", number(env, double(w.layers.size())));
  set(env, about, "kvHeads", number(env, w.kvHeads));
  set(env, about, "headDim", number(env, w.headDim));
  set(env, about, "positionBytes", number(env, double(model.cache().positionBytes())));
  return about;
}

// (model): what runs stops at the next layer; memory goes with it.
napi_value closeModel(napi_env env, Arguments a) {
  ModelHandle& handle = unwrapped<ModelHandle>(env, a[0], modelTag, "a model");
  if (handle.model) handle.model->cancel();
  handle.model.reset();
  return undefined(env);
}

// (model) => bytes. Also while a step runs, and after the end: who watches a process asks at any time.
napi_value cacheBytes(napi_env env, Arguments a) {
  const ModelHandle& handle = unwrapped<ModelHandle>(env, a[0], modelTag, "a model");
  return number(env, handle.model ? double(handle.model->cache().memoryBytes()) : 0);
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
  const std::vector<int32_t> targets = copyOf<int32_t>(env, a[1], "targets");
  const std::vector<int32_t> sources = copyOf<int32_t>(env, a[2], "sources", targets.size());
  for (const auto& rows : {targets, sources})
    for (const int row : rows)
      if (!model.cache().isOpen(row)) throw badCall("row " + std::to_string(row) + " is not open");
  model.cache().copyRows(targets, sources);
  return undefined(env);
}

// (model, row, layer, key, value): the first positions of a row, Float32Array [kvHeads, n, headDim] each.
napi_value writePrefix(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  const PackedModel& w = model.weights();
  const int row = rowOf(env, a[1], model);
  const auto layer = size_t(integerOf(env, a[2], "layer", 0, int64_t(w.layers.size()) - 1));
  const std::vector<float> key = copyOf<float>(env, a[3], "key");
  const std::vector<float> value = copyOf<float>(env, a[4], "value", key.size());
  const size_t perPlace = size_t(w.kvHeads) * w.headDim, positions = key.size() / perPlace;
  if (key.size() % perPlace != 0) throw badCall("key has " + std::to_string(key.size()) + " elements, expected whole positions of " + std::to_string(perPlace));
  model.cache().makeWritable(row, 0, positions);
  for (size_t head = 0; head < w.kvHeads; head++) {
    for (size_t position = 0; position < positions; position++) {
      const size_t at = (head * positions + position) * w.headDim;
      if (!model.kernels().appendKv(model.cache().head(row, layer, head), position, &key[at], &value[at]))
        throw badCall("the prefix of layer " + std::to_string(layer) + " is not finite");
    }
  }
  return undefined(env);
}

// (model, count, rank): adapters to come, of which number 0 is none.
napi_value openAdapters(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  const auto count = size_t(integerOf(env, a[1], "count", 1, 65536)), rank = size_t(integerOf(env, a[2], "rank", 0, 65536));
  model.openAdapters(count, rank);
  return undefined(env);
}

// (model, kind, layer, part, values): a tensor of all adapters, Float32Array [count, ...] as checkpoints store it.
napi_value writeAdapters(napi_env env, Arguments a) {
  Model& model = *idleModelOf(env, a[0]).model;
  const auto kind = AdapterKind(integerOf(env, a[1], "kind", 0, int64_t(lastAdapterKind)));
  const auto layer = size_t(integerOf(env, a[2], "layer", 0, int64_t(model.weights().layers.size()) - 1));
  const auto part = size_t(integerOf(env, a[3], "part", 0, linearRoles - 1));
  const size_t size = model.adapterSize(kind, part), count = model.adapters().count;
  if (count == 0 || size == 0) throw badCall("there is no room for such a tensor of adapters");
  model.writeAdapters(kind, layer, part, copyOf<float>(env, a[4], "values", count * size));
  return undefined(env);
}

// A batch's properties, taken out of it before anything is looked into.
struct Batch {
  Batch(napi_env env, napi_value of)
      : rows(property(env, of, "rows")), prefixes(property(env, of, "prefixes")), prefixScores(property(env, of, "prefixScores")),
        lengths(property(env, of, "lengths")), counts(property(env, of, "counts")), ids(property(env, of, "ids")),
        cosines(property(env, of, "cosines")), sines(property(env, of, "sines")), wanted(property(env, of, "wanted")),
        adapters(property(env, of, "adapters")) {}
  napi_value rows, prefixes, prefixScores, lengths, counts, ids, cosines, sines, wanted, adapters;
};

StepInput stepInput(napi_env env, const Batch& batch, Model& model) {
  const PackedModel& w = model.weights();
  const auto rows = copyOf<int32_t>(env, batch.rows, "rows");
  const size_t R = rows.size();
  const auto prefixes = copyOf<int32_t>(env, batch.prefixes, "prefixes", R);
  const auto scores = copyOf<float>(env, batch.prefixScores, "prefixScores", R);
  const auto lengths = copyOf<int32_t>(env, batch.lengths, "lengths", R);
  const auto counts = copyOf<int32_t>(env, batch.counts, "counts", R);
  const auto adapters = copyOf<int32_t>(env, batch.adapters, "adapters", R);
  StepInput input;
  size_t tokens = 0;
  if (R == 0) throw badCall("a step needs at least one row");
  for (size_t i = 0; i < R; i++) {
    const std::string at = "row " + std::to_string(rows[i]);
    if (!model.cache().isOpen(rows[i])) throw badCall(at + " is not open");
    if (prefixes[i] < 0 || lengths[i] < 0 || counts[i] < 1)
      throw badCall(at + " has a prefix of " + std::to_string(prefixes[i]) + ", " + std::to_string(lengths[i]) + " tokens and " +
                    std::to_string(counts[i]) + " new ones");
    if (!(scores[i] < INFINITY)) throw badCall(at + " has a prefix score of " + std::to_string(scores[i]));
    StepRow row;
    row.cacheRow = rows[i];
    row.prefix = size_t(prefixes[i]);
    row.prefixScore = scores[i];
    row.length = size_t(lengths[i]);
    row.count = size_t(counts[i]);
    if (adapters[i] < 0 || (adapters[i] > 0 && size_t(adapters[i]) >= model.adapters().count))
      throw badCall(at + " has adapter " + std::to_string(adapters[i]) + ", the model has " + std::to_string(model.adapters().count));
    row.adapter = uint32_t(adapters[i]);
    if (row.prefix + row.length > model.cache().capacity(row.cacheRow))
      throw badCall(at + " holds " + std::to_string(model.cache().capacity(row.cacheRow)) + " positions at most, not " +
                    std::to_string(row.prefix + row.length));
    if (row.prefix + row.length + row.count > INT32_MAX) throw badCall(at + " would have more than 2^31 positions");
    tokens += row.count;
    input.rows.push_back(row);
  }
  std::vector<int32_t> sorted = rows;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) throw badCall("a row stands twice in one step");
  input.ids = copyOf<int32_t>(env, batch.ids, "ids", tokens);
  for (const int32_t id : input.ids) {
    if (id < 0 || uint32_t(id) >= w.vocabulary)
      throw badCall("token id " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(w.vocabulary));
  }
  input.cosines = copyOf<float>(env, batch.cosines, "cosines", tokens * (w.headDim / 2));
  input.sines = copyOf<float>(env, batch.sines, "sines", tokens * (w.headDim / 2));
  input.wanted = copyOf<uint8_t>(env, batch.wanted, "wanted", tokens);
  return input;
}

// (model, batch) => Promise<{ hidden, finite }>
napi_value step(napi_env env, Arguments a) {
  napi_valuetype type;
  must(napi_typeof(env, a[1], &type));
  if (type != napi_object) throw badCall("batch is not an object");
  const Batch batch(env, a[1]);
  ModelHandle& handle = idleModelOf(env, a[0]);
  auto input = std::make_shared<const StepInput>(stepInput(env, batch, *handle.model));
  size_t wanted = 0;
  for (const uint8_t want : input->wanted) wanted += want != 0;
  const napi_value result = object(env);
  float* hidden;
  uint8_t* finite;
  set(env, result, "hidden", newArray(env, wanted * handle.model->weights().hidden, &hidden));
  set(env, result, "finite", newArray(env, input->rows.size(), &finite));
  return promise(env, a[0], handle, result, [=](Model& model) { model.step(*input, hidden, finite); });
}

// Memory of the caller's that is written while JavaScript goes on: a SharedArrayBuffer's, which nobody can take away or make smaller.
float* sharedRoom(napi_env env, napi_value value, size_t size) {
  const Span<float> room = arrayOf<float>(env, value, "room");
  napi_value buffer;
  bool owned = true;
  must(napi_get_typedarray_info(env, value, nullptr, nullptr, nullptr, &buffer, nullptr));
  must(napi_is_arraybuffer(env, buffer, &owned));
  if (owned) throw badCall("room is not over a SharedArrayBuffer");
  if (room.size < size)
    throw badCall("room has " + std::to_string(room.size) + " elements, expected at least " + std::to_string(size));
  return room.data;
}

// (model, hidden, room?, powers?) => Promise<Float32Array>: in `room` where there is one, else in an array of its own. With `powers`
// => Promise<{ logits, powers }>.
napi_value logits(napi_env env, Arguments a) {
  ModelHandle& handle = idleModelOf(env, a[0]);
  const PackedModel& w = handle.model->weights();
  auto input = std::make_shared<const std::vector<float>>(copyOf<float>(env, a[1], "hidden"));
  const size_t n = input->size() / w.hidden;
  if (n == 0 || input->size() % w.hidden != 0)
    throw badCall("hidden has " + std::to_string(input->size()) + " elements, expected whole rows of " + std::to_string(w.hidden));
  napi_valuetype room, withPowers;
  must(napi_typeof(env, a[2], &room));
  must(napi_typeof(env, a[3], &withPowers));
  float* out;
  napi_value result = room == napi_undefined ? newArray(env, n * w.vocabulary, &out) : a[2];
  if (room != napi_undefined) out = sharedRoom(env, a[2], n * w.vocabulary);
  double* powers = nullptr;
  if (withPowers != napi_undefined) {
    const napi_value both = object(env);
    set(env, both, "logits", result);
    set(env, both, "powers", newArray(env, 2 * n, &powers));
    result = both;
  }
  return promise(env, a[0], handle, result, [=](Model& model) { model.logits(input->data(), n, out, powers); });
}

// (model, aggregator, streams) => Promise<{ hidden, weights }>
napi_value aggregate(napi_env env, Arguments a) {
  ModelHandle& handle = idleModelOf(env, a[0]);
  const auto aggregator = unwrapped<AggregatorHandle>(env, a[1], aggregatorTag, "an aggregator").model;
  const size_t H = aggregator->hidden, P = aggregator->streams;
  auto input = std::make_shared<const std::vector<float>>(copyOf<float>(env, a[2], "streams"));
  const size_t n = input->size() / (P * H);
  if (n == 0 || input->size() % (P * H) != 0)
    throw badCall("streams has " + std::to_string(input->size()) + " elements, expected whole tokens of " + std::to_string(P * H));
  const napi_value result = object(env);
  float *hidden, *streamWeights;
  set(env, result, "hidden", newArray(env, n * H, &hidden));
  set(env, result, "weights", newArray(env, n * P, &streamWeights));
  return promise(env, a[0], handle, result,
                 [=](Model& model) {
                   aggregator->file->mustBeWhole();
                   model.aggregate(*aggregator, input->data(), n, hidden, streamWeights);
                 });
}

// (threads, 32, 8 or 4 bits, bytes)
napi_value createProbe(napi_env env, Arguments a) {
  const size_t threads = size_t(integerOf(env, a[0], "threads", 1, 4096));
  const int64_t bits = integerOf(env, a[1], "bits", 4, 32);
  if (bits != 4 && bits != 8 && bits != 32) throw badCall("bits is none of 4, 8 and 32");
  const size_t bytes = size_t(integerOf(env, a[2], "bytes", 1, int64_t(1) << 36));
  auto handle = std::make_unique<ProbeHandle>();
  handle->probe = std::make_unique<Probe>(*availableKernels().front(), threads, bits == 32 ? Format::f32 : bits == 8 ? Format::int8 : Format::int4, bytes);
  const napi_value value = wrapped(env, std::move(handle), probeTag, [](napi_env, void* data, void*) { delete static_cast<ProbeHandle*>(data); });
  Probe& probe = *unwrapped<ProbeHandle>(env, value, probeTag, "a probe").probe;
  set(env, value, "bytes", number(env, double(probe.bytes())));
  set(env, value, "operations", number(env, probe.operations(1)));
  return value;
}

// (probe, rows)
napi_value runProbe(napi_env env, Arguments a) {
  ProbeHandle& handle = unwrapped<ProbeHandle>(env, a[0], probeTag, "a probe");
  if (!handle.probe) throw Failure("ERR_CLOSED", "the probe is closed");
  return number(env, handle.probe->run(size_t(integerOf(env, a[1], "rows", 1, 4096))));
}

// (probe)
napi_value closeProbe(napi_env env, Arguments a) {
  unwrapped<ProbeHandle>(env, a[0], probeTag, "a probe").probe.reset();
  return undefined(env);
}

// ()
napi_value watchInterrupts(napi_env env, Arguments) {
  static bool hooked = false;
  if (!hooked) must(napi_add_env_cleanup_hook(env, [](void*) { endAtInterrupts(); }, nullptr));
  hooked = true;
  parscale::watchInterrupts();
  return undefined(env);
}

// ()
napi_value forgetInterrupt(napi_env env, Arguments) {
  parscale::forgetInterrupt();
  return undefined(env);
}

// ---- entries ----

napi_value init(napi_env env, napi_value exports) {
  const auto add = [&](const char* name, napi_callback function) {
    napi_value value;
    must(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value));
    set(env, exports, name, value);
  };
  try {
    keepArrayBuffer(env);
    add("instructionSets", entry<instructionSets>);
    add("refusedInstructionSet", entry<refusedInstructionSet>);
    add("pack", entry<pack>);
    add("openModel", entry<openModel>);
    add("openAggregator", entry<openAggregator>);
    add("describe", entry<describe>);
    add("closeModel", entry<closeModel>);
    add("cacheBytes", entry<cacheBytes>);
    add("openRow", entry<openRow>);
    add("closeRow", entry<closeRow>);
    add("copyRows", entry<copyRows>);
    add("writePrefix", entry<writePrefix>);
    add("openAdapters", entry<openAdapters>);
    add("writeAdapters", entry<writeAdapters>);
    add("step", entry<step>);
    add("logits", entry<logits>);
    add("aggregate", entry<aggregate>);
    add("createProbe", entry<createProbe>);
    add("runProbe", entry<runProbe>);
    add("closeProbe", entry<closeProbe>);
    add("watchInterrupts", entry<watchInterrupts>);
    add("forgetInterrupt", entry<forgetInterrupt>);
    add("createProgram", entry<createProgram>);
    add("closeProgram", entry<closeProgram>);
    add("measureProgram", entry<measureProgram>);
    add("runProgram", entry<runProgram>);
  } catch (const Pending&) {
    napi_throw_error(env, "ERR_NATIVE", "the native step cannot be set up in this Node");
  }
  return exports;
}

}  // namespace
}  // namespace parscale

NAPI_MODULE_INIT() { return parscale::init(env, exports); }
