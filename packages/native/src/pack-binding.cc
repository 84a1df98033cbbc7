#include "pack-binding.h"

#include <atomic>
#include <string>
#include <vector>

#include "instruction-sets.h"

namespace parscale {
namespace {

constexpr napi_type_tag packedTag{0x1d90b6f3a27c4e58, 0xa3f5e1720c8b96d4};

struct PackedHandle {
  std::shared_ptr<const PackedBytes> packed;
};

struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  // Keeps the memory that says how far it is.
  napi_ref progressRef = nullptr;
  // Empty: in memory.
  std::string target;
  std::vector<std::string> files;
  std::vector<uint8_t> header;
  size_t bytes = 0, threads = 1;
  std::vector<PackedTensor> tensors;
  std::atomic<int32_t>* progress = nullptr;
  std::shared_ptr<const PackedBytes> packed;
  std::string code, message;
};

// A worker or the process that ends waits for the pieces under way, not for the whole model.
void stopPacking(void* data) { static_cast<Task*>(data)->progress[1].store(1); }

void execute(napi_env, void* data) {
  Task& task = *static_cast<Task*>(data);
  try {
    const Kernels& kernels = *availableKernels().front();
    if (!task.target.empty()) return packToFile(task.target, task.files, task.header, task.bytes, task.tensors, task.threads, kernels, task.progress);
    task.packed = packInMemory(task.files, task.header, task.bytes, task.tensors, task.threads, kernels, task.progress);
  } catch (const Failure& failure) {
    task.code = failure.code;
    task.message = failure.what();
  } catch (const std::bad_alloc&) {
    task.code = "ERR_OUT_OF_MEMORY";
    task.message = "there is not enough memory for the weights, " + std::to_string(task.bytes >> 20) + " MiB";
  } catch (const std::exception& error) {
    task.code = "ERR_NATIVE";
    task.message = error.what();
  }
}

void complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  napi_remove_env_cleanup_hook(env, stopPacking, task.get());
  try {
    if (status != napi_ok && task->code.empty()) {
      task->code = "ERR_CLOSED";
      task->message = "packing was cancelled";
    }
    if (task->code.empty() && !task->target.empty()) {
      must(napi_resolve_deferred(env, task->deferred, undefined(env)));
    } else if (task->code.empty()) {
      auto handle = std::make_unique<PackedHandle>();
      handle->packed = std::move(task->packed);
      const napi_value value = wrapped(env, std::move(handle), packedTag, [](napi_env, void* data, void*) { delete static_cast<PackedHandle*>(data); });
      must(napi_resolve_deferred(env, task->deferred, value));
    } else {
      must(napi_reject_deferred(env, task->deferred, errorValue(env, task->code.c_str(), task->message)));
    }
  } catch (const Pending&) {
    // The environment is going down, and with it whoever waited.
  }
  napi_delete_reference(env, task->progressRef);
  napi_delete_async_work(env, task->work);
}

std::vector<napi_value> elementsOf(napi_env env, napi_value list) {
  bool is = false;
  must(napi_is_array(env, list, &is));
  if (!is) throw badCall("files is not an array");
  uint32_t count = 0;
  must(napi_get_array_length(env, list, &count));
  std::vector<napi_value> elements(count);
  for (uint32_t i = 0; i < count; i++) must(napi_get_element(env, list, i, &elements[i]));
  return elements;
}

uint64_t wholeNumber(double x, double most) {
  if (!(x >= 0 && x <= most) || x != std::floor(x)) throw badCall("numbers holds " + std::to_string(x) + ", expected a whole number");
  return uint64_t(x);
}

constexpr size_t perTensor = 16;
constexpr double largestOffset = double(int64_t(1) << 52), largestSize = double(1 << 24);

// Threads, bytes of the packed model, then of each tensor what PackedTensor has.
void readNumbers(const std::vector<double>& numbers, Task& task) {
  if (numbers.size() < 2 || (numbers.size() - 2) % perTensor != 0) throw badCall("numbers has " + std::to_string(numbers.size()) + " elements");
  task.threads = size_t(wholeNumber(numbers[0], 1024));
  task.bytes = size_t(wholeNumber(numbers[1], largestOffset));
  if (task.threads == 0) throw badCall("threads is 0");
  for (const double* n = numbers.data() + 2; n < numbers.data() + numbers.size(); n += perTensor) {
    const auto size = [&](size_t i) { return uint32_t(wholeNumber(n[i], largestSize)); };
    const auto place = [&](size_t i) { return Place{size(i), wholeNumber(n[i + 1], largestOffset)}; };
    PackedTensor t;
    t.at = wholeNumber(n[0], largestOffset);
    t.isVector = wholeNumber(n[1], 1) == 1;
    t.outputs = size(2);
    t.inputs = size(3);
    t.format = Format(wholeNumber(n[4], 3));
    t.blockSize = size(5);
    t.hasMinima = wholeNumber(n[6], 1) == 1;
    t.type = StoredType(size(7));
    t.data = place(8);
    t.interleaved = size(10);
    t.scales = place(11);
    t.zeroPoints = ZeroPoints(wholeNumber(n[13], 2));
    t.zeros = place(14);
    task.tensors.push_back(t);
  }
}

}  // namespace

napi_value pack(napi_env env, Arguments a) {
  auto task = std::make_unique<Task>();
  napi_valuetype type;
  must(napi_typeof(env, a[4], &type));
  if (type != napi_undefined) {
    task->target = stringOf(env, a[4], "target");
    if (task->target.empty() || task->target.find('\0') != std::string::npos) throw badCall("target is no path");
  }
  // Getters run JavaScript: all files are taken out before anything is looked into.
  for (const napi_value file : elementsOf(env, a[0])) {
    task->files.push_back(stringOf(env, file, "file"));
    if (task->files.back().find('\0') != std::string::npos) throw badCall("file has a character of code 0 in it");
  }
  task->header = copyOf<uint8_t>(env, a[1], "header");
  readNumbers(copyOf<double>(env, a[2], "numbers"), *task);
  const Span<int32_t> progress = arrayOf<int32_t>(env, a[3], "progress");
  napi_value buffer, value;
  bool owned = true;
  must(napi_get_typedarray_info(env, a[3], nullptr, nullptr, nullptr, &buffer, nullptr));
  must(napi_is_arraybuffer(env, buffer, &owned));
  if (owned || progress.size != 2) throw badCall("progress is not an Int32Array of two numbers over a SharedArrayBuffer");
  static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "atomics lie as numbers do");
  task->progress = reinterpret_cast<std::atomic<int32_t>*>(progress.data);
  must(napi_create_reference(env, a[3], 1, &task->progressRef));
  must(napi_create_async_work(env, nullptr, string(env, "parscale"), execute, complete, task.get(), &task->work));
  must(napi_create_promise(env, &task->deferred, &value));
  must(napi_add_env_cleanup_hook(env, stopPacking, task.get()));
  must(napi_queue_async_work(env, task->work));
  task.release();
  return value;
}

std::shared_ptr<const PackedBytes> packedBytesOf(napi_env env, napi_value value) {
  return unwrapped<PackedHandle>(env, value, packedTag, "a packed model").packed;
}

}  // namespace parscale
