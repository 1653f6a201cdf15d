/* AVX2 with FMA and F16C: half a panel a vector, every product fused with its sum, so the bits are those of AVX-512. */
#include "kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LEVEL avx2
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES 8
#define ACCUMULATORS 12

typedef __m256 vec;
typedef __m256i int_vec, pairs, pair;

INLINE vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vec_store(float *p, vec x) { _mm256_storeu_ps(p, x); }
INLINE vec vec_splat(float x) { return _mm256_set1_ps(x); }
INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vec_subtract(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vec_multiply(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vec_divide(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec vec_multiply_add(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_fraction(vec x) { return _mm256_sub_ps(x, _mm256_floor_ps(x)); }

INLINE vec vec_times_power_of_two(vec x, vec n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_floor_ps(n)), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

INLINE float highest_lane(vec x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

INLINE vec vec_load_halves(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

INLINE void vec_store_halves(uint16_t *p, vec x) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

INLINE vec vec_load_bytes(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE vec vec_copy_sign(vec x, vec y) {
    const vec sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, x), _mm256_and_ps(sign, y));
}

INLINE vec vec_if_less(vec a, vec b, vec x, vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

INLINE vec vec_lane_numbers(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }

INLINE vec vec_between(vec x, int begin, int end, vec other) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lane);
    const __m256i inside = _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane));
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(inside));
}

/* Hidden from the compiler, as in kernel_avx512.c. */
INLINE int_vec int_vec_zero(void) {
    int_vec zero = _mm256_setzero_si256();
    __asm__("" : "+x"(zero));
    return zero;
}

INLINE pairs pairs_load(const int16_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

INLINE pair pair_load(const int16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return _mm256_set1_epi32(both);
}

INLINE int_vec int_vec_add_products(int_vec x, pair a, pairs b) {
    return _mm256_add_epi32(x, _mm256_madd_epi16(a, b));
}

INLINE vec vec_from_integers(int_vec x) { return _mm256_cvtepi32_ps(x); }

INLINE void vec_store_shorts(int16_t *p, vec x) {
    const __m256i integers = _mm256_cvtps_epi32(x);
    const __m128i low = _mm256_castsi256_si128(integers), high = _mm256_extracti128_si256(integers, 1);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi32(low, high));
}

#include "kernel_template.h"

#endif
