#include "graph-binding.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "program.h"

namespace parscale {
namespace {

constexpr napi_type_tag programTag{0x51c0de3fa9127b64, 0x8be2d4107f36c95a};

struct ProgramHandle {
  // Empty once closed.
  std::shared_ptr<Program> program;
  bool busy = false;
  std::atomic<bool> stopped{false};
};

// A worker or the process that ends waits for the step that runs, not for the whole program.
void stopProgram(void* data) { static_cast<ProgramHandle*>(data)->stopped.store(true); }

struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  napi_ref handleRef = nullptr, blocksRef = nullptr;
  ProgramHandle* handle = nullptr;
  std::shared_ptr<Program> program;
  std::vector<uint8_t*> blocks;
  // A word of a SharedArrayBuffer, which the task holds.
  std::atomic<int32_t>* progress = nullptr;
  std::string code, message;
};

void execute(napi_env, void* data) {
  Task& task = *static_cast<Task*>(data);
  try {
    const bool done = task.program->run(std::move(task.blocks), [&] { return task.handle->stopped.load(std::memory_order_relaxed); },
                                         task.progress);
    if (done) return;
    task.code = "ERR_CLOSED";
    task.message = "the run was stopped";
  } catch (const Failure& failure) {
    task.code = failure.code;
    task.message = failure.what();
  } catch (const std::bad_alloc&) {
    task.code = "ERR_OUT_OF_MEMORY";
    task.message = "there is not enough memory for this graph; take fewer or shorter sequences at a time";
  } catch (const std::exception& error) {
    task.code = "ERR_NATIVE";
    task.message = error.what();
  }
}

void complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  task->handle->busy = false;
  try {
    if (status != napi_ok && task->code.empty()) {
      task->code = "ERR_CLOSED";
      task->message = "the run was cancelled";
    }
    if (task->code.empty()) must(napi_resolve_deferred(env, task->deferred, undefined(env)));
    else must(napi_reject_deferred(env, task->deferred, errorValue(env, task->code.c_str(), task->message)));
  } catch (const Pending&) {
    // The environment is going down, and with it whoever waited.
  }
  napi_delete_reference(env, task->handleRef);
  napi_delete_reference(env, task->blocksRef);
  napi_delete_async_work(env, task->work);
}

ProgramHandle& idleProgramOf(napi_env env, napi_value value) {
  ProgramHandle& handle = unwrapped<ProgramHandle>(env, value, programTag, "a program");
  if (!handle.program) throw Failure("ERR_CLOSED", "the program is closed");
  if (handle.busy) throw Failure("ERR_BUSY", "the program is running; wait for it first");
  return handle;
}

}  // namespace

napi_value createProgram(napi_env env, Arguments a) {
  const auto code = copyOf<double>(env, a[0], "code");
  std::vector<size_t> bytes;
  for (const double size : copyOf<double>(env, a[1], "blockBytes")) {
    if (!(size >= 0 && size <= double(int64_t(1) << 42))) throw badCall("a block of " + std::to_string(size) + " bytes");
    bytes.push_back(size_t(size));
  }
  if (bytes.empty()) throw badCall("blockBytes is empty");
  const auto threads = size_t(integerOf(env, a[2], "threads", 1, 1024));
  auto handle = std::make_unique<ProgramHandle>();
  handle->program = std::make_shared<Program>(code.data(), code.size(), std::move(bytes), threads, integerOf(env, a[3], "exact", 0, 1) == 1);
  ProgramHandle* raw = handle.get();
  const napi_value value = wrapped(env, std::move(handle), programTag, [](napi_env env, void* data, void*) {
    napi_remove_env_cleanup_hook(env, stopProgram, data);
    delete static_cast<ProgramHandle*>(data);
  });
  must(napi_add_env_cleanup_hook(env, stopProgram, raw));
  return value;
}

napi_value closeProgram(napi_env env, Arguments a) {
  idleProgramOf(env, a[0]).program.reset();
  return undefined(env);
}

napi_value measureProgram(napi_env env, Arguments a) {
  Program& program = *idleProgramOf(env, a[0]).program;
  napi_value seconds;
  must(napi_create_array_with_length(env, program.seconds().size(), &seconds));
  for (size_t i = 0; i < program.seconds().size(); i++) {
    napi_value value;
    must(napi_create_double(env, program.seconds()[i], &value));
    must(napi_set_element(env, seconds, uint32_t(i), value));
  }
  program.measure();
  return seconds;
}

napi_value runProgram(napi_env env, Arguments a) {
  uint32_t count = 0;
  must(napi_get_array_length(env, a[1], &count));
  // Getters run JavaScript: all blocks are taken out before one is looked into.
  std::vector<napi_value> blocks(count);
  for (uint32_t i = 0; i < count; i++) must(napi_get_element(env, a[1], i, &blocks[i]));
  ProgramHandle& handle = idleProgramOf(env, a[0]);
  const std::vector<size_t>& bytes = handle.program->blockBytes();
  if (count != bytes.size() - 1) throw badCall(std::to_string(count) + " blocks, expected " + std::to_string(bytes.size() - 1));
  auto task = std::make_unique<Task>();
  task->handle = &handle;
  task->program = handle.program;
  task->blocks.push_back(nullptr);
  for (uint32_t i = 0; i < count; i++) {
    bool is = false;
    must(napi_is_typedarray(env, blocks[i], &is));
    if (!is) throw badCall("block " + std::to_string(i + 1) + " is not a typed array");
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    must(napi_get_typedarray_info(env, blocks[i], &type, &length, &data, nullptr, nullptr));
    const size_t width = type == napi_bigint64_array ? 8 : type == napi_float32_array ? 4 : 0;
    if (length * width != bytes[i + 1])
      throw badCall("block " + std::to_string(i + 1) + " has " + std::to_string(length * width) + " bytes, expected " + std::to_string(bytes[i + 1]));
    task->blocks.push_back(static_cast<uint8_t*>(data));
  }
  napi_valuetype given = napi_undefined;
  must(napi_typeof(env, a[2], &given));
  if (given != napi_undefined) {
    bool is = false;
    must(napi_is_typedarray(env, a[2], &is));
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* data = nullptr;
    if (is) must(napi_get_typedarray_info(env, a[2], &type, &length, &data, nullptr, nullptr));
    if (type != napi_int32_array || length != 1) throw badCall("progress is not an Int32Array of one number");
    static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "atomics lie as numbers do");
    task->progress = static_cast<std::atomic<int32_t>*>(data);
  }
  napi_value value, held;
  // Hooks of async resources run below: what they ask of this program is refused already.
  handle.busy = true;
  const auto release = [](ProgramHandle* h) { h->busy = false; };
  std::unique_ptr<ProgramHandle, decltype(release)> busy(&handle, release);
  must(napi_create_array_with_length(env, count + 1, &held));
  for (uint32_t i = 0; i < count; i++) must(napi_set_element(env, held, i, blocks[i]));
  must(napi_set_element(env, held, count, a[2]));
  must(napi_create_reference(env, a[0], 1, &task->handleRef));
  must(napi_create_reference(env, held, 1, &task->blocksRef));
  must(napi_create_async_work(env, nullptr, string(env, "parscale"), execute, complete, task.get(), &task->work));
  must(napi_create_promise(env, &task->deferred, &value));
  must(napi_queue_async_work(env, task->work));
  busy.release();
  task.release();
  return value;
}

}  // namespace parscale
