/*
 * The arithmetic of attention, and with it the one order of sums, for any vector width. A level defines, before it
 * includes this file:
 *
 *   LEVEL             what its struct kernel is called behind "kernel_"
 *   TARGET            function attribute that allows its instructions, or nothing
 *   LANES             floats in a vec: 4, 8 or 16
 *   ACCUMULATORS      vecs of sums that registers can hold beside the operands
 *   vec               the vector type
 *   vec_load, vec_store, vec_splat, vec_add, vec_subtract, vec_multiply, vec_divide, vec_max
 *   vec_load_halves(p), vec_store_halves(p, x), vec_load_bytes(p)   from and to uint16_t; from int8_t
 *   vec_multiply_add(a, b, c)      a * b + c, always fused or never
 *   vec_fraction(x)                x - floor(x) for x in [-126, BASE_SLACK]
 *   vec_times_power_of_two(x, n)   x * 2^floor(n) for n in [-126, BASE_SLACK]
 *   vec_copy_sign(x, y)            |x| with the sign of y
 *   vec_if_less(a, b, x, y)        x in lanes where a < b, y in the rest
 *   vec_lane_numbers()             0, 1, 2 ...
 *   vec_between(x, begin, end, other)   x in lanes begin to end - 1, `other` in the rest; any begin and end
 *   highest_lane(x)                the greatest of all lanes
 *   HIGHEST_OF_FOUR                there is highest_of_four(x, highest) too, for four vecs at once; optional
 *   UNDERFLOWS                     vec_times_power_of_two takes any n, and makes floats underflow; optional
 *
 *   int_vec, pairs, pair           LANES sums; LANES pairs of 16-bit integers; one such pair for all lanes
 *   int_vec_zero(), pairs_load(p), pair_load(p)    from int16_t
 *   int_vec_add_products(x, a, b)  x plus, in each lane, both products of pair a with that of pairs b
 *   vec_from_integers(x)           as floats
 *   vec_store_shorts(p, x)         to int16_t: the nearest integers, ties to even; what does not fit is as it may be
 *
 * and gets its struct kernel. LANES decides how often a loop runs and nothing else: the lanes of a vec never meet but
 * in highest_lane and highest_of_four, whose results have no order.
 */
#include "kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define FORCE_INLINE TARGET static inline __attribute__((always_inline))

enum {
    COLUMN_VECS = 4, /* vecs of B that multiply keeps in registers */
    PANEL_VECS = PAGE_TOKENS / LANES,
    BLOCK_VECS = BLOCK_TOKENS / LANES,
    MULTIPLY_STEP = ACCUMULATORS / COLUMN_VECS, /* rows that multiply keeps in registers */
    DIRECT_ROOM = ACCUMULATORS / PANEL_VECS,    /* rows whose scores of one page fit the registers */
    FOLD_ROWS = ACCUMULATORS / 6,               /* queries that fold takes side by side */
    UP_TO_2 = FOLD_ROWS < 2 ? FOLD_ROWS : 2,    /* what is left of them */
    UP_TO_3 = FOLD_ROWS < 3 ? FOLD_ROWS : 3,
    MAX_SCALES = MAX_HEAD_SIZE / SCALE_VALUES * PAGE_TOKENS, /* of a half page */
};
_Static_assert((int)MULTIPLY_STEP <= (int)MULTIPLY_ROWS, "multiply has no code for so many rows");

/* The loops over r and v must vanish for `sum` to live in registers, hence constant bounds and forced unrolling. */
FORCE_INLINE void multiply_tile(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, float *c,
                                ptrdiff_t c_stride, int depth, bool from_zero, const int rows, const int vecs) {
    vec sum[MULTIPLY_ROWS][COLUMN_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            sum[r][v] = from_zero ? vec_splat(0) : vec_load(c + r * c_stride + v * LANES);
        }
    }
    for (int k = 0; k < depth; k++) {
        vec right[COLUMN_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) right[v] = vec_load(b + k * b_stride + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const vec left = vec_splat(a[r * a_stride + k]);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) sum[r][v] = vec_multiply_add(left, right[v], sum[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) vec_store(c + r * c_stride + v * LANES, sum[r][v]);
    }
}

typedef void tile_function(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, float *c,
                           ptrdiff_t c_stride, int depth, bool from_zero);

#define TILE(R, V)                                                                                                     \
    TARGET static void multiply_##R##x##V(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride,      \
                                          float *c, ptrdiff_t c_stride, int depth, bool from_zero) {                   \
        multiply_tile(a, a_stride, b, b_stride, c, c_stride, depth, from_zero, R, V);                                  \
    }
#define TILES(R) TILE(R, 1) TILE(R, 2) TILE(R, 3) TILE(R, 4)
#define TILE_NAMES(R) {multiply_##R##x1, multiply_##R##x2, multiply_##R##x3, multiply_##R##x4}

TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)

static tile_function *const tiles[MULTIPLY_ROWS][COLUMN_VECS] = {TILE_NAMES(1), TILE_NAMES(2), TILE_NAMES(3),
                                                                 TILE_NAMES(4), TILE_NAMES(5), TILE_NAMES(6)};

static void multiply(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, float *c,
                     ptrdiff_t c_stride, int rows, int columns, int depth, bool from_zero) {
    /* Columns outside, so that their strip of B stays in the first-level cache for all rows. */
    for (int column = 0; column < columns; column += COLUMN_VECS * LANES) {
        const int left = (columns - column) / LANES;
        const int vecs = left < COLUMN_VECS ? left : COLUMN_VECS;
        for (int row = 0; row < rows; row += MULTIPLY_STEP) {
            const int height = rows - row < MULTIPLY_STEP ? rows - row : MULTIPLY_STEP;
            tiles[height - 1][vecs - 1](a + row * a_stride, a_stride, b + column, b_stride,
                                        c + row * c_stride + column, c_stride, depth, from_zero);
        }
    }
}

/*
 * Asks for memory to be in the second-level cache by the time it is needed. The first level is no place to wait in: it
 * can await few lines at a time, and loads would queue behind them. With quantized pages, where the same line is asked
 * for again and again, its answer comes sooner.
 */
FORCE_INLINE void prefetch(const bool quantized, const char *p) {
    if (quantized) __builtin_prefetch(p, 0, 3);
    else __builtin_prefetch(p, 0, 2);
}

/* Bytes of `count` values of a page, without scales. */
FORCE_INLINE size_t value_bytes(const bool quantized, int count) {
    return quantized ? (size_t)count : (size_t)count * sizeof(uint16_t);
}

/* Where the scales of a half page (its keys, or its values) are. */
FORCE_INLINE const uint16_t *scales_of(const char *half, int head_size) {
    return (const uint16_t *)(half + head_size * PAGE_TOKENS);
}

FORCE_INLINE const char *values_of(const bool quantized, const char *page, int head_size) {
    const size_t scales = quantized ? (size_t)head_size / SCALE_VALUES * PAGE_TOKENS * sizeof(uint16_t) : 0;
    return page + value_bytes(quantized, head_size * PAGE_TOKENS) + scales;
}

/* All scales of a half page as floats. */
FORCE_INLINE void widen_scales(const char *half, float *target, int head_size) {
    const uint16_t *scales = scales_of(half, head_size);
    for (int i = 0; i < head_size / SCALE_VALUES * PAGE_TOKENS; i += LANES) {
        vec_store(target + i, vec_load_halves(scales + i));
    }
}

/* LANES stored values. The product with a scale is exact: 7 bits times 11. */
FORCE_INLINE vec stored(const bool quantized, const char *values, vec scale) {
    return quantized ? vec_multiply(vec_load_bytes((const int8_t *)values), scale)
                     : vec_load_halves((const uint16_t *)values);
}

FORCE_INLINE void widen_keys(const bool quantized, const char *page, float *target, int head_size) {
    float scales[MAX_SCALES];
    if (quantized) widen_scales(page, scales, head_size);
    for (int d = 0; d < head_size; d++) {
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) {
            const char *from = page + value_bytes(quantized, d * PAGE_TOKENS + v * LANES);
            const float *scale = scales + d / SCALE_VALUES * PAGE_TOKENS + v * LANES;
            vec_store(target + d * BLOCK_TOKENS + v * LANES,
                      stored(quantized, from, quantized ? vec_load(scale) : vec_splat(0)));
        }
    }
}

FORCE_INLINE void widen_values(const bool quantized, const char *page, float *target, int head_size) {
    const char *values = values_of(quantized, page, head_size);
    float scales[MAX_SCALES];
    if (quantized) widen_scales(values, scales, head_size);
    for (int i = 0; i < head_size * PAGE_TOKENS; i += LANES) {
        const vec scale = vec_splat(quantized ? scales[i / SCALE_VALUES] : 0);
        vec_store(target + i, stored(quantized, values + value_bytes(quantized, i), scale));
    }
}

/*
 * Pages [first, first + count) of the block. A prefetch with every load brings as much of the next pages as was read of
 * these: memory and arithmetic then take turns nowhere.
 */
FORCE_INLINE void score_pages(const bool quantized, const char *const *pages, const char *const *next, int first,
                              const float *queries, int head_size, float *scores, const int rows, const int count) {
    vec sum[MAX_DIRECT_QUERIES][BLOCK_PAGES][PANEL_VECS];
    float scale[BLOCK_PAGES][PAGE_TOKENS] = {{0}}; /* of the dimensions at work, for quantized pages */
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; v++) sum[r][p][v] = vec_splat(0);
        }
    }
    for (int d = 0; d < head_size; d++) {
        if (quantized && d % SCALE_VALUES == 0) {
            for (int p = 0; p < count; p++) {
                const uint16_t *scales = scales_of(pages[first + p], head_size) + d / SCALE_VALUES * PAGE_TOKENS;
                for (int v = 0; v < PANEL_VECS; v++) {
                    vec_store(scale[p] + v * LANES, vec_load_halves(scales + v * LANES));
                }
            }
        }
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) {
            prefetch(quantized, next[first + p] + value_bytes(quantized, d * PAGE_TOKENS));
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; v++) {
                const char *from = pages[first + p] + value_bytes(quantized, d * PAGE_TOKENS + v * LANES);
                const vec key = stored(quantized, from, quantized ? vec_load(scale[p] + v * LANES) : vec_splat(0));
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) {
                    sum[r][p][v] = vec_multiply_add(vec_splat(queries[r * head_size + d]), key, sum[r][p][v]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; v++) {
                vec_store(scores + r * BLOCK_TOKENS + (first + p) * PAGE_TOKENS + v * LANES, sum[r][p][v]);
            }
        }
    }
}

/* `vecs` vecs of the values from dimension d on. */
FORCE_INLINE void sum_dimensions(const bool quantized, const char *const *pages, const char *const *next, int begin,
                                 int end, const float *weights, int head_size, int d, float *sums, const int rows,
                                 const int vecs) {
    vec sum[MAX_DIRECT_QUERIES][COLUMN_VECS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) sum[r][v] = vec_load(sums + r * head_size + d + v * LANES);
    }
    float scales[MAX_SCALES];
    for (int token = begin; token < end; token++) {
        const int at = token % PAGE_TOKENS * head_size + d;
        const char *values = values_of(quantized, pages[token / PAGE_TOKENS], head_size);
        const char *ahead = values_of(quantized, next[token / PAGE_TOKENS], head_size);
        if (quantized && (token == begin || token % PAGE_TOKENS == 0)) widen_scales(values, scales, head_size);
        prefetch(quantized, ahead + value_bytes(quantized, at));
        prefetch(quantized, ahead + value_bytes(quantized, at + vecs * LANES - 1));
        vec value[COLUMN_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const vec scale = vec_splat(quantized ? scales[(at + v * LANES) / SCALE_VALUES] : 0);
            value[v] = stored(quantized, values + value_bytes(quantized, at + v * LANES), scale);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vec weight = vec_splat(weights[r * BLOCK_TOKENS + token]);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) sum[r][v] = vec_multiply_add(weight, value[v], sum[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) vec_store(sums + r * head_size + d + v * LANES, sum[r][v]);
    }
}

/* As many of 4 pages, or 4 vecs of dimensions, at a time as leave room for the sums of all rows. */
#define AT_ONCE(room) ((room) >= 4 ? 4 : (room) >= 2 ? 2 : 1)

#define DIRECT(FORMAT, QUANTIZED, R)                                                                                   \
    TARGET static void score_##FORMAT##_##R(const char *const *pages, const char *const *next, int first, int end,     \
                                            const float *queries, int head_size, float *scores) {                      \
        enum { COUNT = AT_ONCE(ACCUMULATORS / (R * PANEL_VECS)) };                                                     \
        for (; first + COUNT <= end; first += COUNT) {                                                                 \
            score_pages(QUANTIZED, pages, next, first, queries, head_size, scores, R, COUNT);                          \
        }                                                                                                              \
        for (; first < end; first++) score_pages(QUANTIZED, pages, next, first, queries, head_size, scores, R, 1);     \
    }                                                                                                                  \
    TARGET static void sum_##FORMAT##_##R(const char *const *pages, const char *const *next, int begin, int end,       \
                                          const float *weights, int head_size, float *sums) {                          \
        enum { COUNT = AT_ONCE(ACCUMULATORS / R) };                                                                    \
        int d = 0;                                                                                                     \
        for (; d + COUNT * LANES <= head_size; d += COUNT * LANES) {                                                   \
            sum_dimensions(QUANTIZED, pages, next, begin, end, weights, head_size, d, sums, R, COUNT);                 \
        }                                                                                                              \
        for (; d < head_size; d += LANES) {                                                                            \
            sum_dimensions(QUANTIZED, pages, next, begin, end, weights, head_size, d, sums, R, 1);                     \
        }                                                                                                              \
    }

typedef void score_function(const char *const *pages, const char *const *next, int first, int end,
                            const float *queries, int head_size, float *scores);
typedef void sum_function(const char *const *pages, const char *const *next, int begin, int end, const float *weights,
                          int head_size, float *sums);

#define FORMAT(NAME, QUANTIZED)                                                                                        \
    DIRECT(NAME, QUANTIZED, 1)                                                                                         \
    DIRECT(NAME, QUANTIZED, 2)                                                                                         \
    DIRECT(NAME, QUANTIZED, 3)                                                                                         \
    DIRECT(NAME, QUANTIZED, 4)                                                                                         \
    DIRECT(NAME, QUANTIZED, 5)                                                                                         \
    DIRECT(NAME, QUANTIZED, 6)                                                                                         \
    DIRECT(NAME, QUANTIZED, 7)                                                                                         \
    DIRECT(NAME, QUANTIZED, 8)                                                                                         \
    static void score_##NAME(const char *const *pages, const char *const *next, int first, int end,                    \
                             const float *queries, int rows, int head_size, float *scores) {                           \
        static score_function *const by_rows[MAX_DIRECT_QUERIES] = {                                                   \
            score_##NAME##_1, score_##NAME##_2, score_##NAME##_3, score_##NAME##_4,                                    \
            score_##NAME##_5, score_##NAME##_6, score_##NAME##_7, score_##NAME##_8,                                    \
        };                                                                                                             \
        by_rows[rows - 1](pages, next, first, end, queries, head_size, scores);                                        \
    }                                                                                                                  \
    static void sum_##NAME(const char *const *pages, const char *const *next, int begin, int end,                      \
                           const float *weights, int rows, int head_size, float *sums) {                               \
        static sum_function *const by_rows[MAX_DIRECT_QUERIES] = {                                                     \
            sum_##NAME##_1, sum_##NAME##_2, sum_##NAME##_3, sum_##NAME##_4,                                            \
            sum_##NAME##_5, sum_##NAME##_6, sum_##NAME##_7, sum_##NAME##_8,                                            \
        };                                                                                                             \
        by_rows[rows - 1](pages, next, begin, end, weights, head_size, sums);                                          \
    }                                                                                                                  \
    TARGET static void widen_keys_##NAME(const char *page, float *target, int head_size) {                             \
        widen_keys(QUANTIZED, page, target, head_size);                                                                \
    }                                                                                                                  \
    TARGET static void widen_values_##NAME(const char *page, float *target, int head_size) {                           \
        widen_values(QUANTIZED, page, target, head_size);                                                              \
    }
#define FORMAT_NAMES(NAME) {widen_keys_##NAME, widen_values_##NAME, score_##NAME, sum_##NAME}

FORMAT(f16, false)
FORMAT(q8_0, true)

TARGET static void narrow(const float *source, uint16_t *target, int count) {
    for (int i = 0; i < count; i += LANES) vec_store_halves(target + i, vec_load(source + i));
}

/*
 * 2^x for x <= BASE_SLACK, with 2^0 = 1, as 2^floor(x) * 2^f. The polynomials for 2^f in [0, 1) are the minimax ones with
 * constant term 1: of degree 5 (relative error 8.3e-8), and of degree 4 (2.9e-6) for weights that will be `rounded` to 14
 * bits. Below -126, where floats end, the result stays 2^-126, which no sum of weights, of which one is 1, can feel; or it
 * underflows, if it will be rounded to 0 anyway.
 */
FORCE_INLINE vec vec_exp2_for(vec x, const bool rounded) {
#ifdef UNDERFLOWS
    const bool underflows = true;
#else
    const bool underflows = false;
#endif
    const vec t = rounded && underflows ? x : vec_max(x, vec_splat(-126.0f));
    const vec f = vec_fraction(t);
    vec p = vec_splat(rounded ? 1.342668429e-2f : 1.867130050e-3f);
    if (!rounded) p = vec_multiply_add(p, f, vec_splat(9.017030708e-3f));
    p = vec_multiply_add(p, f, vec_splat(rounded ? 5.224247419e-2f : 5.579991266e-2f));
    p = vec_multiply_add(p, f, vec_splat(rounded ? 2.412802048e-1f : 2.401644439e-1f));
    p = vec_multiply_add(p, f, vec_splat(rounded ? 6.930448449e-1f : 6.931512952e-1f));
    p = vec_multiply_add(p, f, vec_splat(1.0f));
    return vec_times_power_of_two(p, t);
}

FORCE_INLINE vec vec_exp2(vec x) { return vec_exp2_for(x, false); }

/*
 * From e^-2|x|, and where that would cancel, for |x| < 5/8, as x + x^3 P(x^2) with a P fitted by least squares at
 * Chebyshev's nodes (relative error 9e-8).
 */
FORCE_INLINE vec vec_tanh(vec x) {
    const vec one = vec_splat(1);
    const vec magnitude = vec_copy_sign(x, one);
    const vec power = vec_exp2(vec_multiply(magnitude, vec_splat(-2 * 1.44269504f)));
    const vec far = vec_copy_sign(vec_divide(vec_subtract(one, power), vec_add(one, power)), x);

    const vec square = vec_multiply(x, x);
    vec p = vec_splat(-6.103758235e-3f);
    p = vec_multiply_add(p, square, vec_splat(2.100259624e-2f));
    p = vec_multiply_add(p, square, vec_splat(-5.385218933e-2f));
    p = vec_multiply_add(p, square, vec_splat(1.333277822e-1f));
    p = vec_multiply_add(p, square, vec_splat(-3.333332837e-1f));
    const vec near = vec_multiply_add(vec_multiply(x, square), p, x);
    return vec_if_less(magnitude, vec_splat(0.625f), near, far);
}

/* Multiplies totals and sums that were taken relative to another base. */
FORCE_INLINE void rescale(struct softmax_state *state, float *sums, int head_size, float by) {
    const vec factor = vec_exp2(vec_splat(by));
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) {
        vec_store(state->totals + v * LANES, vec_multiply(vec_load(state->totals + v * LANES), factor));
    }
    for (int d = 0; d < head_size; d += LANES) vec_store(sums + d, vec_multiply(vec_load(sums + d), factor));
}

TARGET static void change_scores(float *scores, int rows, const struct score_rule *rule) {
    const vec cap = vec_splat(rule->softcap);
    for (int i = 0; i < rows * BLOCK_TOKENS; i += LANES) {
        vec x = vec_load(scores + i);
        if (rule->softcap != 0) x = vec_multiply(vec_tanh(vec_divide(x, cap)), cap);
        const vec distance = vec_add(vec_splat(rule->distance + i % BLOCK_TOKENS), vec_lane_numbers());
        vec_store(scores + i, vec_multiply_add(vec_splat(rule->slope), distance, x));
    }
}

/* The greatest of all lanes of each. */
FORCE_INLINE void highest_lanes(const vec *x, float *highest, const int rows) {
#ifdef HIGHEST_OF_FOUR
    if (rows == 4) {
        highest_of_four(x, highest);
        return;
    }
#endif
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) highest[r] = highest_lane(x[r]);
}

/*
 * Takes this block's scores into account in the bases of `rows` queries, as many as have steps that the processor can
 * take side by side: each one's by itself waits for itself.
 */
FORCE_INLINE void raise_bases(const float *scores, int begin, int end, const bool whole, struct softmax_state *states,
                              float *sums, int head_size, const int rows) {
    const vec unseen = vec_splat(-INFINITY);
    vec top[FOLD_ROWS];
    float highest[FOLD_ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) top[r] = unseen;
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const vec x = vec_load(scores + r * BLOCK_TOKENS + v * LANES);
            top[r] = vec_max(top[r], whole ? x : vec_between(x, begin - v * LANES, end - v * LANES, unseen));
        }
    }
    highest_lanes(top, highest, rows);
    int higher = 0;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) higher |= (highest[r] > states[r].base + BASE_SLACK) << r;
    if (higher != 0) {
        for (int r = 0; r < rows; r++) {
            if ((higher >> r & 1) == 0) continue;
            if (states[r].base > -INFINITY) {
                rescale(&states[r], sums + (size_t)r * head_size, head_size, states[r].base - highest[r]);
            }
            states[r].base = highest[r];
        }
    }
}

FORCE_INLINE void fold_rows(float *scores, int begin, int end, const bool whole, struct softmax_state *states,
                            float *sums, int head_size, const int rows) {
    vec bases[FOLD_ROWS], totals[FOLD_ROWS][PANEL_VECS];
    raise_bases(scores, begin, end, whole, states, sums, head_size, rows);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        bases[r] = vec_splat(states[r].base);
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) totals[r][v] = vec_load(states[r].totals + v * LANES);
    }
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            float *at = scores + r * BLOCK_TOKENS + v * LANES;
            vec weight = vec_exp2(vec_subtract(vec_load(at), bases[r]));
            if (!whole) weight = vec_between(weight, begin - v * LANES, end - v * LANES, vec_splat(0));
            vec_store(at, weight);
            totals[r][v % PANEL_VECS] = vec_add(totals[r][v % PANEL_VECS], weight);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) vec_store(states[r].totals + v * LANES, totals[r][v]);
    }
}

TARGET static void fold(float *scores, int rows, int begin, int end, struct softmax_state *states, float *sums,
                        int head_size) {
    int r = 0;
    if (begin == 0 && end == BLOCK_TOKENS) {
        for (; r + FOLD_ROWS <= rows; r += FOLD_ROWS) {
            fold_rows(scores + r * BLOCK_TOKENS, begin, end, true, states + r, sums + (size_t)r * head_size, head_size,
                      FOLD_ROWS);
        }
    }
    while (r < rows) {
        const int count = rows - r < FOLD_ROWS ? rows - r : FOLD_ROWS;
        float *at = scores + r * BLOCK_TOKENS, *sums_at = sums + (size_t)r * head_size;
        switch (count) {
        case 1: fold_rows(at, begin, end, false, states + r, sums_at, head_size, 1); break;
        case 2: fold_rows(at, begin, end, false, states + r, sums_at, head_size, UP_TO_2); break;
        case 3: fold_rows(at, begin, end, false, states + r, sums_at, head_size, UP_TO_3); break;
        default: fold_rows(at, begin, end, false, states + r, sums_at, head_size, FOLD_ROWS); break;
        }
        r += count;
    }
}

#include "integer_template.h"

TARGET static void merge(struct softmax_state *state, float *sums, const struct softmax_state *from,
                         const float *from_sums, int head_size) {
    if (from->base > state->base) {
        if (state->base > -INFINITY) rescale(state, sums, head_size, state->base - from->base);
        state->base = from->base;
    }
    const vec factor = vec_exp2(vec_splat(from->base - state->base));
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) {
        const vec total = vec_load(state->totals + v * LANES);
        vec_store(state->totals + v * LANES, vec_multiply_add(vec_load(from->totals + v * LANES), factor, total));
    }
    for (int d = 0; d < head_size; d += LANES) {
        vec_store(sums + d, vec_multiply_add(vec_load(from_sums + d), factor, vec_load(sums + d)));
    }
}

typedef float panel_half __attribute__((vector_size(PAGE_TOKENS / 2 * sizeof(float))));
typedef double panel_squares __attribute__((vector_size(PAGE_TOKENS / 2 * sizeof(double))));

/* Squares are floats and their sums doubles, as in llama.cpp: hardly ever will another order of sums change a float's last bit. */
TARGET static void norm(const float *a, const float *b, float *sum, const float *weight, float *target, int count,
                        float epsilon) {
    const float *x = b == NULL ? a : sum;
    panel_squares squares[2] = {{0}, {0}};
    for (int i = 0; i < count; i += PAGE_TOKENS) {
#pragma GCC unroll 4
        for (int v = 0; b != NULL && v < PAGE_TOKENS; v += LANES) {
            vec_store(sum + i + v, vec_add(vec_load(a + i + v), vec_load(b + i + v)));
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            panel_half floats;
            memcpy(&floats, x + i + half * PAGE_TOKENS / 2, sizeof floats);
            squares[half] += __builtin_convertvector(floats * floats, panel_squares);
        }
    }
    squares[0] += squares[1];
    double total = 0;
    for (int i = 0; i < PAGE_TOKENS / 2; i++) total += squares[0][i];
    const vec scale = vec_splat(1 / sqrtf((float)(total / count) + epsilon));
    for (int i = 0; i < count; i += LANES) {
        vec_store(target + i, vec_multiply(vec_multiply(vec_load(x + i), scale), vec_load(weight + i)));
    }
}

/* The product with a pair's second number is rounded before that with its first is added, as llama.cpp does it. */
TARGET static void rotate(const float *source, const float *factors, int dimensions, bool neighbours, float *target,
                          int count) {
    float firsts[MAX_HEAD_SIZE], seconds[MAX_HEAD_SIZE];
    const int half = dimensions / 2;
    for (int i = 0; neighbours && i < half; i++) {
        firsts[2 * i] = firsts[2 * i + 1] = source[2 * i];
        seconds[2 * i] = seconds[2 * i + 1] = source[2 * i + 1];
    }
    for (int i = 0; !neighbours && i < half; i++) {
        firsts[i] = firsts[i + half] = source[i];
        seconds[i] = seconds[i + half] = source[i + half];
    }
    for (int d = 0; d < dimensions; d += LANES) {
        const vec second = vec_multiply(vec_load(seconds + d), vec_load(factors + dimensions + d));
        vec_store(target + d, vec_multiply_add(vec_load(firsts + d), vec_load(factors + d), second));
    }
    memcpy(target + dimensions, source + dimensions, (size_t)(count - dimensions) * sizeof *source);
}

#define PASTE(a, b) a##b
#define KERNEL(level) PASTE(kernel_, level)
#define QUOTE(level) #level
#define NAME(level) QUOTE(level)

const struct kernel KERNEL(LEVEL) = {
    NAME(LEVEL),
    (int)DIRECT_ROOM < (int)MAX_DIRECT_QUERIES ? (int)DIRECT_ROOM : (int)MAX_DIRECT_QUERIES,
    {FORMAT_NAMES(f16), FORMAT_NAMES(q8_0)},
    narrow,
    multiply,
    norm,
    rotate,
    change_scores,
    fold,
    merge,
    round_to_shorts,
    fold_shorts,
    score_shorts,
    sum_shorts,
};
