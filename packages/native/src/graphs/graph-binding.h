// Programs (program.h), as JavaScript holds and runs them.
#pragma once
#include "../js-functions.h"

namespace parscale {

// (code, blockBytes, threads, exact: 0 | 1) => program
napi_value createProgram(napi_env, Arguments);
// (program)
napi_value closeProgram(napi_env, Arguments);
// (program, blocks: typed arrays for all blocks but the first) => Promise<void>; the blocks must stay where they are until then.
napi_value runProgram(napi_env, Arguments);
// (program) => seconds of each step since the last call; the first call begins to measure.
napi_value measureProgram(napi_env, Arguments);

}  // namespace parscale
