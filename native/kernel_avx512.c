/* AVX-512: a vector is a panel, and every product is fused with its sum. */
#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES 16
#define MULTIPLY_STEP 6

typedef __m512 vec;

INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vec_store(float *p, vec x) { _mm512_storeu_ps(p, x); }
INLINE vec vec_splat(float x) { return _mm512_set1_ps(x); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_subtract(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_multiply(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vec_multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_round(vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec vec_times_power_of_two(vec x, vec n) { return _mm512_scalef_ps(x, n); }
INLINE float highest_lane(vec x) { return _mm512_reduce_max_ps(x); }

INLINE vec vec_first(vec x, int count, vec other) {
    const __mmask16 first = count >= LANES ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
    return _mm512_mask_mov_ps(other, first, x);
}

#include "kernel_template.h"

TARGET static void widen(const uint16_t *source, float *target, ptrdiff_t target_stride, int count) {
    for (int i = 0; i < count; i++) {
        const __m256i halves = _mm256_loadu_si256((const __m256i *)(source + i * PAGE_TOKENS));
        _mm512_storeu_ps(target + i * target_stride, _mm512_cvtph_ps(halves));
    }
}

TARGET static void narrow(const float *source, uint16_t *target, int count) {
    for (int i = 0; i < count; i += LANES) {
        const __m256i halves = _mm512_cvtps_ph(_mm512_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(target + i), halves);
    }
}

const struct kernel kernel_avx512 = {"avx512", widen, narrow, multiply, fold};

#endif
