// JavaScript's values as C++ has them, and back. What is not as expected is thrown: as a Failure, or as Pending where Node has an
// exception of its own.
//
// Whatever can run JavaScript (properties with getters, hooks of async resources) may close models, take memory away or start
// steps. So arguments are first taken out of objects, and only then looked into; and memory that another thread may share is
// copied before it is checked.
#pragma once
#define NAPI_VERSION 8
#include <node_api.h>

#include <cmath>
#include <new>
#include <string>
#include <vector>

#include "error.h"

namespace parscale {

// A JavaScript exception is pending; unwinds to the entry.
struct Pending {};

inline void must(napi_status status) {
  if (status != napi_ok) throw Pending();
}

template <class T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
};

template <class T>
constexpr napi_typedarray_type arrayType();
template <>
constexpr napi_typedarray_type arrayType<float>() { return napi_float32_array; }
template <>
constexpr napi_typedarray_type arrayType<double>() { return napi_float64_array; }
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

// A copy of a typed array, which nobody else can change.
template <class T>
std::vector<T> copyOf(napi_env env, napi_value value, const char* name) {
  const Span<T> span = arrayOf<T>(env, value, name);
  return std::vector<T>(span.data, span.data + span.size);
}

template <class T>
std::vector<T> copyOf(napi_env env, napi_value value, const char* name, size_t size) {
  const Span<T> span = arrayOf<T>(env, value, name);
  if (span.size != size)
    throw badCall(std::string(name) + " has " + std::to_string(span.size) + " elements, expected " + std::to_string(size));
  return std::vector<T>(span.data, span.data + span.size);
}

inline int64_t integerOf(napi_env env, napi_value value, const char* name, int64_t least, int64_t most) {
  double x;
  if (napi_get_value_double(env, value, &x) != napi_ok || !(x >= double(least) && x <= double(most)) || x != std::floor(x))
    throw badCall(std::string(name) + " is not an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return int64_t(x);
}

inline std::string stringOf(napi_env env, napi_value value, const char* name) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok)
    throw badCall(std::string(name) + " is not a string");
  std::string text(length, '\0');
  must(napi_get_value_string_utf8(env, value, &text[0], length + 1, &length));
  return text;
}

inline napi_value property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) throw Pending();
  return value;
}

// As its own property, past any setter of its prototypes.
inline void set(napi_env env, napi_value object, const char* name, napi_value value) {
  const napi_property_descriptor own{name, nullptr, nullptr, nullptr, nullptr, value, napi_default_jsproperty, nullptr};
  must(napi_define_properties(env, object, 1, &own));
}

inline napi_value number(napi_env env, double x) {
  napi_value value;
  must(napi_create_double(env, x, &value));
  return value;
}

inline napi_value string(napi_env env, const std::string& text) {
  napi_value value;
  must(napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

inline napi_value object(napi_env env) {
  napi_value value;
  must(napi_create_object(env, &value));
  return value;
}

inline napi_value undefined(napi_env env) {
  napi_value value;
  must(napi_get_undefined(env, &value));
  return value;
}

// JavaScript's own constructor, kept when the module is loaded. Node's C interface ends the process where memory is short
// (napi_create_arraybuffer); the constructor throws.
inline void keepArrayBuffer(napi_env env) {
  napi_value global;
  must(napi_get_global(env, &global));
  auto* kept = new napi_ref;
  const auto free = [](napi_env, void* data, void*) { delete static_cast<napi_ref*>(data); };
  must(napi_create_reference(env, property(env, global, "ArrayBuffer"), 1, kept));
  must(napi_set_instance_data(env, kept, free, nullptr));
}

// A new typed array of zeros. Throws std::bad_alloc.
template <class T>
napi_value newArray(napi_env env, size_t n, T** data) {
  if (n > (size_t(1) << 31) / sizeof(T)) throw std::bad_alloc();
  void *kept = nullptr, *memory = nullptr;
  must(napi_get_instance_data(env, &kept));
  napi_value constructor, buffer, array;
  must(napi_get_reference_value(env, *static_cast<napi_ref*>(kept), &constructor));
  const napi_value bytes = number(env, double(n * sizeof(T)));
  if (napi_new_instance(env, constructor, 1, &bytes, &buffer) != napi_ok) {
    napi_value exception;
    must(napi_get_and_clear_last_exception(env, &exception));
    throw std::bad_alloc();
  }
  size_t size = 0;
  must(napi_get_arraybuffer_info(env, buffer, &memory, &size));
  must(napi_create_typedarray(env, arrayType<T>(), n, buffer, 0, &array));
  *data = static_cast<T*>(memory);
  return array;
}

inline napi_value errorValue(napi_env env, const char* code, const std::string& message) {
  napi_value error;
  must(napi_create_error(env, string(env, code), string(env, message), &error));
  return error;
}

}  // namespace parscale
