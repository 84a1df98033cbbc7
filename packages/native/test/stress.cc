// Steps a packed model without Node: for ThreadSanitizer, which a process that Node started cannot carry.
//   stress FILE: random rows of random lengths, on one to four threads, with every kind of cache; two models at once; closing in
//   the middle of a step. Prints "ok" when what a row gets is the same bits every time.
#include <cstdio>
#include <cstring>
#include <thread>

#include "../src/error.h"
#include "../src/instruction-sets.h"
#include "../src/step.h"
#include "step-input.h"

namespace {

using namespace parscale;

// The last hidden state of each of four rows after 96 tokens, in chunks.
std::vector<float> run(const char* path, const Kernels& kernels, size_t threads, CacheType type, size_t chunk) {
  Model model(path, kernels, threads, type);
  std::vector<int> rows;
  std::vector<size_t> lengths(4, 0);
  for (int i = 0; i < 4; i++) rows.push_back(model.cache().openRow());
  const size_t H = model.weights().hidden;
  std::vector<float> last(4 * H), hidden(4 * chunk * H);
  std::vector<uint8_t> finite(4);
  while (lengths[0] < 96) {
    model.step(inputOf(model, rows, lengths, chunk), hidden.data(), finite.data());
    for (size_t i = 0; i < 4; i++) {
      lengths[i] += chunk;
      std::memcpy(&last[i * H], &hidden[((i + 1) * chunk - 1) * H], H * sizeof(float));
    }
  }
  return last;
}

bool closesInTheMiddle(const char* path, const Kernels& kernels) {
  Model model(path, kernels, 3, CacheType::f32);
  const std::vector<int> rows{model.cache().openRow()};
  const StepInput input = inputOf(model, rows, {0}, 2000);
  std::vector<float> hidden(2000 * size_t(model.weights().hidden));
  std::vector<uint8_t> finite(1);
  std::thread closer([&] { model.cancel(); });
  bool closed = false;
  try {
    model.step(input, hidden.data(), finite.data());
  } catch (const Failure& failure) {
    closed = std::strcmp(failure.code, "ERR_CLOSED") == 0;
  }
  closer.join();
  return closed;
}

}  // namespace

int main(int, char** arguments) {
  const char* path = arguments[1];
  bool good = true;
  for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::int8}) {
    const std::vector<float> first = run(path, *availableKernels().back(), 1, type, 96);
    for (const Kernels* kernels : availableKernels()) {
      for (const size_t threads : {1, 2, 4}) {
        std::vector<float> a, b;
        std::thread other([&] { b = run(path, *kernels, threads, type, 1); });
        a = run(path, *kernels, threads, type, 12);
        other.join();
        good = good && std::memcmp(a.data(), first.data(), a.size() * sizeof(float)) == 0 &&
               std::memcmp(b.data(), first.data(), b.size() * sizeof(float)) == 0;
      }
    }
  }
  good = good && closesInTheMiddle(path, *availableKernels().front());
  std::puts(good ? "ok" : "different bits");
  return good ? 0 : 1;
}
