/* NEON on 64-bit ARM: a quarter of a panel a vector, every product fused with its sum. */
#include "kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LEVEL neon
#define TARGET
#define INLINE static inline __attribute__((always_inline))
#define LANES 4
#define ACCUMULATORS 24

typedef float32x4_t vec;
typedef int32x4_t int_vec;
typedef int16x4x2_t pairs; /* the first of each pair, and the second */
typedef int16x4_t pair;

INLINE vec vec_load(const float *p) { return vld1q_f32(p); }
INLINE void vec_store(float *p, vec x) { vst1q_f32(p, x); }
INLINE vec vec_splat(float x) { return vdupq_n_f32(x); }
INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec vec_subtract(vec a, vec b) { return vsubq_f32(a, b); }
INLINE vec vec_multiply(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec vec_divide(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec vec_max(vec a, vec b) { return vmaxq_f32(a, b); }
INLINE vec vec_multiply_add(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec vec_fraction(vec x) { return vsubq_f32(x, vrndmq_f32(x)); }
INLINE float highest_lane(vec x) { return vmaxvq_f32(x); }

INLINE vec vec_times_power_of_two(vec x, vec n) {
    const int32x4_t exponent = vaddq_s32(vcvtmq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}

INLINE vec vec_load_halves(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
INLINE void vec_store_halves(uint16_t *p, vec x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }

INLINE vec vec_load_bytes(const int8_t *p) {
    const int32_t lanes[LANES] = {p[0], p[1], p[2], p[3]};
    return vcvtq_f32_s32(vld1q_s32(lanes));
}

INLINE vec vec_copy_sign(vec x, vec y) { return vbslq_f32(vdupq_n_u32(0x80000000), y, x); }

INLINE vec vec_if_less(vec a, vec b, vec x, vec y) { return vbslq_f32(vcltq_f32(a, b), x, y); }

INLINE vec vec_lane_numbers(void) {
    const float lanes[LANES] = {0, 1, 2, 3};
    return vld1q_f32(lanes);
}

INLINE vec vec_between(vec x, int begin, int end, vec other) {
    const int32_t lanes[LANES] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(lanes);
    const uint32x4_t inside = vandq_u32(vcgeq_s32(lane, vdupq_n_s32(begin)), vcltq_s32(lane, vdupq_n_s32(end)));
    return vbslq_f32(inside, x, other);
}

INLINE int_vec int_vec_zero(void) { return vdupq_n_s32(0); }
INLINE pairs pairs_load(const int16_t *p) { return vld2_s16(p); }

INLINE pair pair_load(const int16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return vreinterpret_s16_s32(vdup_n_s32(both));
}

INLINE int_vec int_vec_add_products(int_vec x, pair a, pairs b) {
    return vmlal_lane_s16(vmlal_lane_s16(x, b.val[0], a, 0), b.val[1], a, 1);
}

INLINE vec vec_from_integers(int_vec x) { return vcvtq_f32_s32(x); }
INLINE void vec_store_shorts(int16_t *p, vec x) { vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(x))); }

#include "kernel_template.h"

#endif
