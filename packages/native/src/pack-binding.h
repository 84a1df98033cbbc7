// The border of pack-memory.h.
#pragma once
#include <memory>

#include "js-functions.h"
#include "pack-memory.h"

namespace parscale {

// (files string[], header Uint8Array, numbers Float64Array, progress Int32Array [2], target? path) => Promise<packed, or nothing where it went to the target>
napi_value pack(napi_env, Arguments);

// What such a promise gave.
std::shared_ptr<const PackedBytes> packedBytesOf(napi_env, napi_value);

}  // namespace parscale
