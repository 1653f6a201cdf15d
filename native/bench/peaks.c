#include "peaks.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
/* Hides a register's value from the compiler, which would otherwise see that all chains are one and need no loop. */
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif

/* `STEP(sum, a)` is what makes the most products of those that this program is compiled for: sum += a * a. */
#if defined(__AVX512F__)
enum { F32_PRODUCTS = 16 };
typedef __m512 f32_vec;
#define F32_ONES _mm512_set1_ps(1)
#define F32_STEP(sum, a) _mm512_fmadd_ps(a, a, sum)
#elif defined(__AVX2__) && defined(__FMA__)
enum { F32_PRODUCTS = 8 };
typedef __m256 f32_vec;
#define F32_ONES _mm256_set1_ps(1)
#define F32_STEP(sum, a) _mm256_fmadd_ps(a, a, sum)
#elif defined(__ARM_NEON)
enum { F32_PRODUCTS = 4 };
typedef float32x4_t f32_vec;
#define F32_ONES vdupq_n_f32(1)
#define F32_STEP(sum, a) vfmaq_f32(sum, a, a)
#endif

#if defined(__AVX512BF16__)
enum { BF16_PRODUCTS = 32 };
typedef __m512 bf16_sum;
typedef __m512i bf16_vec;
#define BF16_ONES _mm512_set1_epi32(0x3f803f80)
#define BF16_STEP(sum, a) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(a))
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
enum { BF16_PRODUCTS = 8 };
typedef float32x4_t bf16_sum;
typedef uint32x4_t bf16_vec;
#define BF16_ONES vdupq_n_u32(0x3f803f80)
#define BF16_STEP(sum, a) vbfdotq_f32(sum, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(a))
#endif

/* What has no instruction for dot products of 16-bit integers multiplies and adds in two. */
#if defined(__AVX512VNNI__)
enum { INT16_PRODUCTS = 32 };
typedef __m512i int16_sum, int16_vec;
#define INT16_ONES _mm512_set1_epi16(1)
#define INT16_STEP(sum, a) _mm512_dpwssd_epi32(sum, a, a)
#elif defined(__AVX2__)
enum { INT16_PRODUCTS = 16 };
typedef __m256i int16_sum, int16_vec;
#define INT16_ONES _mm256_set1_epi16(1)
#define INT16_STEP(sum, a) _mm256_add_epi32(sum, _mm256_madd_epi16(a, a))
#elif defined(__ARM_NEON)
enum { INT16_PRODUCTS = 4 };
typedef int32x4_t int16_sum;
typedef int16x4_t int16_vec;
#define INT16_ONES vdup_n_s16(1)
#define INT16_STEP(sum, a) vmlal_s16(sum, a, a)
#endif

#if defined(__AVX512VNNI__)
enum { INT8_PRODUCTS = 64 };
typedef __m512i int8_vec;
#define INT8_ONES _mm512_set1_epi8(1)
#define INT8_STEP(sum, a) _mm512_dpbusd_epi32(sum, a, a)
#elif defined(__AVXVNNI__)
enum { INT8_PRODUCTS = 32 };
typedef __m256i int8_vec;
#define INT8_ONES _mm256_set1_epi8(1)
#define INT8_STEP(sum, a) _mm256_dpbusd_avx_epi32(sum, a, a)
#elif defined(__ARM_FEATURE_DOTPROD)
enum { INT8_PRODUCTS = 16 };
typedef int32x4_t int8_vec;
#define INT8_ONES vdupq_n_s32(0x01010101)
#define INT8_STEP(sum, a) vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(a))
#endif

enum { ROUNDS = 1 << 21, CHAINS = 14, STEPS = ROUNDS * CHAINS, REPEATS = 7 };

/* Chains of sums that do not wait for each other: enough to hide an instruction's latency, and as registers allow. */
#define EACH_CHAIN(DO, x, y) \
    DO(0, x, y) DO(1, x, y) DO(2, x, y) DO(3, x, y) DO(4, x, y) DO(5, x, y) DO(6, x, y) \
    DO(7, x, y) DO(8, x, y) DO(9, x, y) DO(10, x, y) DO(11, x, y) DO(12, x, y) DO(13, x, y)
#define DECLARE(i, type, ignored) type sum##i = {0};
#define ADD(i, STEP, a) \
    sum##i = STEP(sum##i, a); \
    OPAQUE(sum##i);

/* Defines a function that multiplies and adds for a while. */
#define DEFINE_ARITHMETIC(name, sum_type, vec_type, ONES, STEP) \
    static void name(void *argument, int thread) { \
        (void)argument; \
        (void)thread; \
        vec_type a = ONES; \
        EACH_CHAIN(DECLARE, sum_type, ) \
        for (int round = 0; round < ROUNDS; round++) { \
            OPAQUE(a); \
            EACH_CHAIN(ADD, STEP, a) \
        } \
    }

#ifdef F32_STEP
DEFINE_ARITHMETIC(multiply_f32, f32_vec, f32_vec, F32_ONES, F32_STEP)
#endif
#ifdef BF16_STEP
DEFINE_ARITHMETIC(multiply_bf16, bf16_sum, bf16_vec, BF16_ONES, BF16_STEP)
#endif
#ifdef INT16_STEP
DEFINE_ARITHMETIC(multiply_int16, int16_sum, int16_vec, INT16_ONES, INT16_STEP)
#endif
#ifdef INT8_STEP
DEFINE_ARITHMETIC(multiply_int8, int8_vec, int8_vec, INT8_ONES, INT8_STEP)
#endif

/* Each thread reads its own part, `passes` times. */
struct reading {
    const char *memory;
    size_t bytes; /* of one thread */
    int passes;
};

enum {
    MEMORY_BYTES = 1 << 29, /* of all threads: more than caches hold */
    CACHE_BYTES = 1 << 18,  /* of each: more than first-level caches hold, less than second-level ones */
    CACHE_PASSES = 1 << 10,
};

typedef uint64_t wide __attribute__((vector_size(64)));

static void read_memory(void *argument, int thread) {
    const struct reading *reading = argument;
    const wide *from = (const wide *)(reading->memory + (size_t)thread * reading->bytes);
    const size_t count = reading->bytes / sizeof *from;
    for (int pass = 0; pass < reading->passes; pass++) {
        wide a = {0}, b = {0}, c = {0}, d = {0};
        for (size_t i = 0; i < count; i += 4) {
            a |= from[i];
            b |= from[i + 1];
            c |= from[i + 2];
            d |= from[i + 3];
        }
        volatile uint64_t result = (a | b | c | d)[0];
        (void)result;
    }
}

/* Prints how many of `units`, which a thread does in one run, the team does in a second: in the least disturbed run. */
static void print_rate(struct team *team, const char *name, team_function *function, void *argument, double units) {
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        const double rate = units * team_size(team) / team_run(team, function, argument);
        if (rate > best) best = rate;
    }
    printf(",\"%s\":%.4g", name, 1e-9 * best);
}

void peaks_print(struct team *team) {
    printf("{\"threads\":%d", team_size(team));
#ifdef F32_STEP
    print_rate(team, "f32_gmacs", multiply_f32, NULL, (double)STEPS * F32_PRODUCTS);
#endif
#ifdef BF16_STEP
    print_rate(team, "bf16_gmacs", multiply_bf16, NULL, (double)STEPS * BF16_PRODUCTS);
#endif
#ifdef INT16_STEP
    print_rate(team, "int16_gmacs", multiply_int16, NULL, (double)STEPS * INT16_PRODUCTS);
#endif
#ifdef INT8_STEP
    print_rate(team, "int8_gmacs", multiply_int8, NULL, (double)STEPS * INT8_PRODUCTS);
#endif
    char *memory = aligned_alloc(sizeof(wide), MEMORY_BYTES);
    if (memory == NULL) abort();
    memset(memory, 1, MEMORY_BYTES);
    const size_t share = MEMORY_BYTES / (size_t)team_size(team) / (4 * sizeof(wide)) * (4 * sizeof(wide));
    struct reading reading = {memory, share, 1};
    print_rate(team, "read_gbs", read_memory, &reading, (double)share);
    reading = (struct reading){memory, CACHE_BYTES, CACHE_PASSES};
    print_rate(team, "l2_read_gbs", read_memory, &reading, (double)CACHE_BYTES * CACHE_PASSES);
    printf("}\n");
    free(memory);
}
