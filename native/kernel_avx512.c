/* AVX-512: a vector is a panel, and every product is fused with its sum. */
#include "kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LEVEL avx512
/* VNNI is used where the machine that compiles has it, which is the one that runs; the bits are the same without. */
#if defined(__AVX512VNNI__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#endif
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES 16
#define ACCUMULATORS 24

typedef __m512 vec;
typedef __m512i int_vec, pairs, pair;

INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vec_store(float *p, vec x) { _mm512_storeu_ps(p, x); }
INLINE vec vec_splat(float x) { return _mm512_set1_ps(x); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_subtract(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_multiply(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vec_divide(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vec_multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_fraction(vec x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
#define UNDERFLOWS
INLINE vec vec_times_power_of_two(vec x, vec n) { return _mm512_scalef_ps(x, n); }
INLINE float highest_lane(vec x) { return _mm512_reduce_max_ps(x); }

#define HIGHEST_OF_FOUR
/* All four at once: 128 bits of each side by side, and the greatest of those. */
INLINE void highest_of_four(const vec *x, float *highest) {
    const vec a = _mm512_max_ps(_mm512_shuffle_f32x4(x[0], x[1], 0x44), _mm512_shuffle_f32x4(x[0], x[1], 0xee));
    const vec b = _mm512_max_ps(_mm512_shuffle_f32x4(x[2], x[3], 0x44), _mm512_shuffle_f32x4(x[2], x[3], 0xee));
    vec c = _mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    c = _mm512_max_ps(c, _mm512_permute_ps(c, 0x4e));
    c = _mm512_max_ps(c, _mm512_permute_ps(c, 0xb1));
    _mm_storeu_ps(highest, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, c)));
}

INLINE vec vec_load_halves(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

INLINE void vec_store_halves(uint16_t *p, vec x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

INLINE vec vec_load_bytes(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE vec vec_copy_sign(vec x, vec y) {
    const vec sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, x), _mm512_and_ps(sign, y));
}

INLINE vec vec_if_less(vec a, vec b, vec x, vec y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}

INLINE vec vec_lane_numbers(void) {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

INLINE uint32_t lanes_before(int count) { return count >= LANES ? 0xffff : count <= 0 ? 0 : (1u << count) - 1; }

INLINE vec vec_between(vec x, int begin, int end, vec other) {
    return _mm512_mask_mov_ps(other, (__mmask16)(lanes_before(end) & ~lanes_before(begin)), x);
}

INLINE int_vec int_vec_zero(void) { return _mm512_setzero_si512(); }
INLINE pairs pairs_load(const int16_t *p) { return _mm512_loadu_si512(p); }

INLINE pair pair_load(const int16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return _mm512_set1_epi32(both);
}

INLINE int_vec int_vec_add_products(int_vec x, pair a, pairs b) {
#if defined(__AVX512VNNI__)
    /* As an intrinsic, gcc 12 makes copies of sums in a loop, and spills them. */
    __asm__("vpdpwssd %2, %1, %0" : "+v"(x) : "v"(a), "vm"(b));
    return x;
#else
    return _mm512_add_epi32(x, _mm512_madd_epi16(a, b));
#endif
}

INLINE vec vec_from_integers(int_vec x) { return _mm512_cvtepi32_ps(x); }

INLINE void vec_store_shorts(int16_t *p, vec x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
}

#include "kernel_template.h"

#endif
