// What no step on this machine can be faster than: bytes over what memory gives, products over what their instruction does, whichever takes longer.
//   node scripts/build.mjs --program limits && build/limits/limits [threads: 2] [bits: 8] [block: 128]
// For the 1.6B shape, keys and values in 8 bits. Memory is read by all threads at once from a gigabyte of each, the best of seven rounds; products
// are AVX-512's of bytes or, where there is no VNNI, what AVX2 has to do for as many; registers only, so nothing waits. All else that a step does counts as
// nothing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "../src/buffer.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace {

using Clock = std::chrono::steady_clock;

// Seconds until all threads are through, the best of seven rounds.
double best(size_t threads, const std::function<void(size_t)>& work) {
  double least = 1e9;
  for (int round = 0; round < 7; round++) {
    std::vector<std::thread> all;
    const auto from = Clock::now();
    for (size_t t = 0; t < threads; t++) all.emplace_back(work, t);
    for (std::thread& each : all) each.join();
    least = std::min(least, std::chrono::duration<double>(Clock::now() - from).count());
  }
  return least;
}

__attribute__((target("avx2"))) int readAll(const uint8_t* at, size_t bytes) {
  __m256i sum[8] = {};
  for (size_t i = 0; i < bytes; i += 256) {
    for (size_t j = 0; j < 8; j++) {
      if (j % 2 == 0) _mm_prefetch(reinterpret_cast<const char*>(at + i + 32 * j + 4096), _MM_HINT_T1);
      sum[j] = _mm256_add_epi64(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(at + i + 32 * j)));
    }
  }
  for (size_t j = 1; j < 8; j++) sum[0] = _mm256_add_epi64(sum[0], sum[j]);
  return _mm256_cvtsi256_si32(sum[0]);
}

// 16 sums that do not wait for each other, 64 products of bytes each.
__attribute__((target("avx512f,avx512vnni"))) int multiply(size_t times) {
  __m512i sum[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) sum[i] = _mm512_set1_epi32(i);
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (size_t t = 0; t < times; t++)
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) asm("vpdpbusd %2, %1, %0" : "+v"(sum[i]) : "v"(a), "v"(b));
#pragma GCC unroll 16
  for (int i = 1; i < 16; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return _mm512_cvtsi512_si32(sum[0]);
}

// The same count of products, [2][8] sums of 32 each: 8 bits need a sign, two products and a sum; of 4 bits as many as fit are added in 16 bits.
template <int bits>
__attribute__((target("avx2"))) int multiplyAvx2(size_t times) {
  __m256i sum[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) sum[i] = _mm256_set1_epi32(i);
  const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  for (size_t t = 0; t < 4 * times; t++)
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      __m256i x;
      if (bits == 8) asm("vpxor %2, %3, %1; vpmaddubsw %1, %2, %1; vpmaddwd %1, %4, %1; vpaddd %1, %0, %0" : "+x"(sum[i]), "=&x"(x) : "x"(a), "x"(b), "x"(ones));
      else asm("vpmaddubsw %3, %2, %1; vpaddw %1, %0, %0" : "+x"(sum[i]), "=&x"(x) : "x"(a), "x"(b));
    }
#pragma GCC unroll 8
  for (int i = 1; i < 8; i++) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  return _mm256_cvtsi256_si32(sum[0]);
}

constexpr double H = 1536, I = 8320, heads = 16, kvHeads = 2, D = 96, V = 151936, layers = 36;
constexpr double weights = layers * (H * (heads + 2 * kvHeads) * D + heads * D * H + 3 * H * I);

struct Work {
  const char* what;
  double rows;
  // Tokens of each row, and what the last of them sees.
  double tokens, context;
};

}  // namespace

int main(int argc, char** argv) {
  const size_t threads = argc > 1 ? size_t(atoi(argv[1])) : 2;
  const double bits = argc > 2 ? atof(argv[2]) : 8, block = argc > 3 ? atof(argv[3]) : 128;
  if (!__builtin_cpu_supports("avx2")) {
    std::puts("This CPU has no AVX2.");
    return 1;
  }
  const auto kernel = __builtin_cpu_supports("avx512vnni") ? multiply : bits == 8 ? multiplyAvx2<8> : multiplyAvx2<4>;
  constexpr size_t bytes = size_t(1) << 30, times = 20 * 1000 * 1000;
  std::vector<parscale::Buffer<uint8_t>> memory(threads);
  for (auto& each : memory) std::fill_n(each.room(bytes), bytes, uint8_t(1));
  // Read by nobody: what is computed must not be left out.
  std::vector<int> results(threads);
  const double read = double(threads * bytes) / best(threads, [&](size_t t) { results[t] = readAll(memory[t].room(bytes), bytes); });
  const double products = double(threads) * double(times) * 16 * 64 * 2 / best(threads, [&](size_t t) { results[t] = kernel(times); });
  std::printf("%zu threads read %.1f GB/s and multiply bytes at %.2f Top/s; weights of %g bits in blocks of %g\n", threads, read / 1e9, products / 1e12, bits, block);
  std::puts("                                  memory  products     limit  of one row");
  double one = 0;
  for (const Work& w : std::initializer_list<Work>{{"one row, 256 tokens before it", 1, 1, 256},
                                                   {"8 rows", 8, 1, 256},
                                                   {"16 rows", 16, 1, 256},
                                                   {"32 rows", 32, 1, 256},
                                                   {"8 rows, 8,192 tokens before them", 8, 1, 8192},
                                                   {"prompt of 512 tokens, one row", 1, 512, 512},
                                                   {"prompt of 256 tokens, 8 rows", 8, 256, 256}}) {
    // Of the output matrix one row: streams meet before it.
    const double perWeight = bits / 8 + 4 / block, seen = w.tokens > 1 ? w.context / 2 : w.context;
    const double kept = w.rows * w.context * layers * kvHeads * (2 * D + 8);
    // Queries and attention weights are two bytes. Of a prompt's last layer the last token alone is wanted, which counts as nothing.
    const double multiplied = w.rows * w.tokens * weights * (w.tokens > 1 ? (layers - 1) / layers : 1) + V * H + w.rows * w.tokens * seen * layers * heads * D * 2 * 2;
    const double memoryMs = ((weights + V * H) * perWeight + kept) / read * 1e3, productsMs = 2 * multiplied / products * 1e3, limit = std::max(memoryMs, productsMs);
    if (one == 0) one = limit;
    std::printf("%-32s %7.1f  %8.1f  %8.1f  %10.2f\n", w.what, memoryMs, productsMs, limit, limit / one);
  }
  return 0;
}

#else
int main() {
  std::puts("The instruction of x64 is all it knows.");
  return 1;
}
#endif
