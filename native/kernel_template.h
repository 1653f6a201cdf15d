/*
 * The arithmetic of attention, and with it the one order of sums, for any vector width. A level defines, before it
 * includes this file:
 *
 *   TARGET            function attribute that allows its instructions, or nothing
 *   LANES             floats in a vec: 4, 8 or 16
 *   vec               the vector type
 *   vec_load, vec_store, vec_splat, vec_add, vec_subtract, vec_multiply, vec_max
 *   vec_multiply_add(a, b, c)      a * b + c, always fused or never
 *   vec_round(x)                   nearest integer
 *   vec_times_power_of_two(x, n)   x * 2^n for integers n in [-126, 0]
 *   vec_first(x, count, other)     x in the first `count` lanes (none if count <= 0), `other` in the rest
 *   highest_lane(x)                the greatest of all lanes
 *   MULTIPLY_STEP     rows that `multiply` keeps in registers: at most MULTIPLY_ROWS
 *
 * and gets the functions multiply and fold. LANES decides how often a loop runs and nothing else: the lanes of a vec
 * never meet but in highest_lane, whose result has no order.
 */
#include "kernel.h"

#include <math.h>

enum {
    COLUMN_VECS = 4, /* vecs of B that multiply keeps in registers */
    PANEL_VECS = PAGE_TOKENS / LANES,
    BLOCK_VECS = BLOCK_TOKENS / LANES,
};

/* The loops over r and v must vanish for `sum` to live in registers, hence constant bounds and forced unrolling. */
TARGET static inline __attribute__((always_inline)) void multiply_tile(const float *a, ptrdiff_t a_stride,
                                                                       const float *b, ptrdiff_t b_stride, float *c,
                                                                       ptrdiff_t c_stride, int depth, bool from_zero,
                                                                       const int rows, const int vecs) {
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
 * e^x for x <= 0, with e^0 = 1, as 2^n * 2^f where n + f = x / ln 2 and |f| <= 1/2. The polynomial for 2^f is the
 * minimax one of degree 5 with constant term 1 (relative error 1.1e-7). Rounding x / ln 2 makes e^x wrong by about
 * |x| e^x / 2^23 more: small next to the weight of 1 that every softmax has. Below -87, where floats end, the result
 * stays e^-87, which no such sum can feel.
 */
TARGET static inline vec vec_exp(vec x) {
    const vec t = vec_multiply(vec_max(x, vec_splat(-87.0f)), vec_splat(1.44269504f));
    const vec n = vec_round(t);
    const vec f = vec_subtract(t, n);
    vec p = vec_splat(1.326472731e-3f);
    p = vec_multiply_add(p, f, vec_splat(9.671512991e-3f));
    p = vec_multiply_add(p, f, vec_splat(5.550733581e-2f));
    p = vec_multiply_add(p, f, vec_splat(2.402224243e-1f));
    p = vec_multiply_add(p, f, vec_splat(6.931470037e-1f));
    p = vec_multiply_add(p, f, vec_splat(1.0f));
    return vec_times_power_of_two(p, n);
}

TARGET static void fold(float *scores, int visible, struct softmax_state *state, float *sums, int head_size) {
    const vec unseen = vec_splat(-INFINITY);
    vec x[BLOCK_VECS];
    vec top = unseen;
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
        x[v] = vec_first(vec_load(scores + v * LANES), visible - v * LANES, unseen);
        top = vec_max(top, x[v]);
    }
    vec totals[PANEL_VECS];
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) totals[v] = vec_load(state->totals + v * LANES);

    const float maximum = highest_lane(top);
    if (maximum > state->maximum) {
        const vec factor = vec_exp(vec_splat(state->maximum - maximum));
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) totals[v] = vec_multiply(totals[v], factor);
        for (int d = 0; d < head_size; d += LANES) vec_store(sums + d, vec_multiply(vec_load(sums + d), factor));
        state->maximum = maximum;
    }

    const vec shift = vec_splat(state->maximum);
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
        const vec weight = vec_first(vec_exp(vec_subtract(x[v], shift)), visible - v * LANES, vec_splat(0));
        vec_store(scores + v * LANES, weight);
        totals[v % PANEL_VECS] = vec_add(totals[v % PANEL_VECS], weight);
    }
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) vec_store(state->totals + v * LANES, totals[v]);
}
