// Steps without JavaScript, for the programs of this folder.
#pragma once
#include <cmath>
#include <vector>

#include "../src/step.h"

namespace parscale {

// `count` new tokens for each of these rows, which hold `lengths` already. All hidden states are wanted.
inline StepInput inputOf(Model& model, const std::vector<int>& rows, const std::vector<size_t>& lengths, size_t count) {
  const PackedModel& w = model.weights();
  StepInput input;
  for (size_t i = 0; i < rows.size(); i++) {
    StepRow row;
    row.cacheRow = rows[i];
    row.length = lengths[i];
    row.count = count;
    input.rows.push_back(row);
    for (size_t t = lengths[i]; t < lengths[i] + count; t++) {
      input.ids.push_back(int32_t((i * 37 + t * 11) % w.vocabulary));
      for (size_t d = 0; d < w.headDim / 2; d++) {
        input.cosines.push_back(std::cos(float(t) / float(d + 1)));
        input.sines.push_back(std::sin(float(t) / float(d + 1)));
      }
      input.wanted.push_back(1);
    }
  }
  return input;
}

}  // namespace parscale
