// The AVX-VNNI kernels with their one new instruction written out in older ones, for CPUs with AVX2 only: everything but the
// instruction itself is tested there.
#include <immintrin.h>

// acc + four products of unsigned and signed bytes, in each of eight words.
static __m256i dpbusdInWords(__m256i acc, __m256i unsignedBytes, __m256i signedBytes) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i even = _mm256_set1_epi16(0xff);
  const __m256i evens = _mm256_mullo_epi16(_mm256_and_si256(unsignedBytes, even),
                                           _mm256_srai_epi16(_mm256_slli_epi16(signedBytes, 8), 8));
  const __m256i odds = _mm256_mullo_epi16(_mm256_srli_epi16(unsignedBytes, 8), _mm256_srai_epi16(signedBytes, 8));
  return _mm256_add_epi32(acc, _mm256_add_epi32(_mm256_madd_epi16(evens, ones), _mm256_madd_epi16(odds, ones)));
}

#define _mm256_dpbusd_avx_epi32 dpbusdInWords
#define AvxVnni AvxVnniInWords
#define avxVnniKernels avxVnniInWordsKernels
#include "../src/kernels/avxvnni.cc"
