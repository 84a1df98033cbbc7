// Functions that JavaScript calls, and objects of ours that it holds.
#pragma once
#include <memory>
#include <string>

#include "error.h"
#include "js-values.h"

namespace parscale {

using Arguments = const napi_value*;

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

}  // namespace parscale
