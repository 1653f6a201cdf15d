/*
 * Any machine: GNU vector types, which gcc and clang turn into whatever the target has. Products are rounded before
 * they are added (the build forbids contraction), so the bits are the same whatever the vector width.
 */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

/* Sums that fit the register file beside the operands: AVX-512 and NEON have 32 registers, SSE and AVX 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define ACCUMULATORS 24
#else
#define ACCUMULATORS 8
#endif

#define LEVEL portable
#define TARGET
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t int_vec __attribute__((vector_size(LANES * 4)));
typedef int_vec pairs; /* the first of each pair in the low half, little-endian or not: both sides are loaded alike */
typedef int_vec pair;

INLINE vec vec_load(const float *p) {
    vec x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE void vec_store(float *p, vec x) { memcpy(p, &x, sizeof x); }
INLINE vec vec_splat(float x) { return x - (vec){0}; }
INLINE vec vec_add(vec a, vec b) { return a + b; }
INLINE vec vec_subtract(vec a, vec b) { return a - b; }
INLINE vec vec_multiply(vec a, vec b) { return a * b; }
INLINE vec vec_divide(vec a, vec b) { return a / b; }
INLINE vec vec_multiply_add(vec a, vec b, vec c) { return a * b + c; }

INLINE vec choose(int_vec condition, vec yes, vec no) {
    return (vec)(((int_vec)yes & condition) | ((int_vec)no & ~condition));
}

INLINE vec vec_max(vec a, vec b) { return choose(a > b, a, b); }

/* Where floats are this large they are whole numbers: adding rounds to the nearest, ties to even. */
INLINE vec vec_round(vec x) {
    const vec large = vec_splat(0x1.8p23f);
    return (x + large) - large;
}

INLINE vec vec_floor(vec x) {
    const vec near = vec_round(x);
    return choose(near > x, near - 1, near);
}

INLINE vec vec_fraction(vec x) { return x - vec_floor(x); }

INLINE vec vec_times_power_of_two(vec x, vec n) {
    return x * (vec)((__builtin_convertvector(vec_floor(n), int_vec) + 127) << 23);
}

INLINE vec vec_copy_sign(vec x, vec y) { return choose((int_vec){0} + INT32_MIN, y, x); }

INLINE vec vec_if_less(vec a, vec b, vec x, vec y) { return choose(a < b, x, y); }

INLINE int_vec lane_numbers(void) {
    int_vec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane;
}

INLINE vec vec_lane_numbers(void) { return __builtin_convertvector(lane_numbers(), vec); }

INLINE vec vec_between(vec x, int begin, int end, vec other) {
    return choose((lane_numbers() >= begin) & (lane_numbers() < end), x, other);
}

INLINE float highest_lane(vec x) {
    float highest = x[0];
    for (int i = 1; i < LANES; i++) highest = x[i] > highest ? x[i] : highest;
    return highest;
}

INLINE float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* A half's exponent and fraction in a float's place mean 2^-112 of its value, subnormals included. */
INLINE float float_of_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const float magnitude = float_of_bits((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    const uint32_t special = magnitude >= 0x1p16f ? 0x7f800000 : 0; /* infinity and NaN: the exponent is all ones */
    return float_of_bits(bits_of_float(magnitude) | special | sign);
}

/* To the nearest half, ties to even. */
INLINE uint16_t half_of_float(float x) {
    const uint32_t sign = bits_of_float(x) >> 16 & 0x8000;
    const uint32_t magnitude = bits_of_float(x) & 0x7fffffff;
    /* Normal: drop 13 bits of fraction, and rebias the exponent from 127 to 15. */
    const uint32_t normal = ((magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13) - (112 << 10);
    /* Subnormal: a multiple of 2^-24, which in this binade is one unit in a float's last place. */
    const uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
    uint32_t half = magnitude < 0x38800000 ? subnormal : normal; /* 2^-14, the least normal half */
    half = magnitude >= 0x477ff000 ? 0x7c00 : half;              /* 65520 and more round to infinity */
    half = magnitude > 0x7f800000 ? 0x7e00 : half;               /* NaN */
    return (uint16_t)(half | sign);
}

/* Not inlined: arithmetic in place of an instruction would make every loop that loads halves many times as long. */
__attribute__((noinline)) static vec vec_load_halves(const uint16_t *p) {
    vec x = {0};
    for (int i = 0; i < LANES; i++) x[i] = float_of_half(p[i]);
    return x;
}

INLINE void vec_store_halves(uint16_t *p, vec x) {
    for (int i = 0; i < LANES; i++) p[i] = half_of_float(x[i]);
}

INLINE vec vec_load_bytes(const int8_t *p) {
    vec x = {0};
    for (int i = 0; i < LANES; i++) x[i] = p[i];
    return x;
}

INLINE int_vec int_vec_zero(void) { return (int_vec){0}; }

INLINE pairs pairs_load(const int16_t *p) {
    pairs x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE pair pair_load(const int16_t *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return (pair){0} + both;
}

/* Unsigned where sums may pass the end on their way. */
INLINE int_vec int_vec_add_products(int_vec x, pair a, pairs b) {
    typedef uint32_t sums __attribute__((vector_size(LANES * 4)));
    const int_vec low = ((int_vec)((sums)a << 16) >> 16) * ((int_vec)((sums)b << 16) >> 16);
    const int_vec high = (a >> 16) * (b >> 16);
    return (int_vec)((sums)x + (sums)low + (sums)high);
}

INLINE vec vec_from_integers(int_vec x) { return __builtin_convertvector(x, vec); }

INLINE void vec_store_shorts(int16_t *p, vec x) {
    const int_vec integers = __builtin_convertvector(vec_round(x), int_vec);
    for (int i = 0; i < LANES; i++) p[i] = (int16_t)integers[i];
}

#include "kernel_template.h"
