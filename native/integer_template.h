/*
 * The arithmetic of I16 pages: products and sums of integers, which are exact, and so have no order. A part of
 * kernel_template.h, whose vectors it uses; kernel.h says why no sum leaves 32 bits.
 */

FORCE_INLINE const char *short_values_of(const char *page, int head_size) {
    return (const char *)(page_units(page, head_size) + PAGE_TOKENS);
}

/* Pages [first, first + count) of the block. Prefetches as score_pages does, if `fetch`. */
FORCE_INLINE void score_short_pages(const char *const *pages, const char *const *next, int first,
                                    const int16_t *queries, const float *query_units, int head_size, float *scores,
                                    const int rows, const int count, const bool fetch) {
    int_vec sum[MULTIPLY_STEP][COLUMN_VECS][PANEL_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; v++) sum[r][p][v] = int_vec_zero();
        }
    }
    for (int d = 0; d < head_size; d += 2) {
        pairs keys[COLUMN_VECS][PANEL_VECS];
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) {
            const int16_t *from = (const int16_t *)pages[first + p] + d * PAGE_TOKENS;
            if (fetch) prefetch(false, next[first + p] + d * PAGE_TOKENS * sizeof *from);
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; v++) keys[p][v] = pairs_load(from + 2 * v * LANES);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const pair query = pair_load(queries + r * head_size + d);
#pragma GCC unroll 4
            for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
                for (int v = 0; v < PANEL_VECS; v++) {
                    sum[r][p][v] = int_vec_add_products(sum[r][p][v], query, keys[p][v]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < count; p++) {
        const float *units = page_units(pages[first + p], head_size);
        if (fetch) prefetch(false, (const char *)page_units(next[first + p], head_size));
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) {
            const vec unit = vec_load(units + v * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                const vec score = vec_multiply(vec_from_integers(sum[r][p][v]), unit);
                vec_store(scores + r * BLOCK_TOKENS + (first + p) * PAGE_TOKENS + v * LANES,
                          vec_multiply(score, vec_splat(query_units[r])));
            }
        }
    }
}

/* `vecs` vecs of the values from dimension d on, of pages [first, end). */
FORCE_INLINE void sum_short_dimensions(const char *const *pages, const char *const *next, int first, int end,
                                       const int16_t *weights, const float *weight_units, int head_size, int d,
                                       float *sums, const int rows, const int vecs, const bool fetch) {
    int_vec sum[MULTIPLY_STEP][COLUMN_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) sum[r][v] = int_vec_zero();
    }
    for (int p = first; p < end; p++) {
        const int16_t *values = (const int16_t *)short_values_of(pages[p], head_size) + 2 * d;
        const char *ahead = short_values_of((fetch ? next : pages)[p], head_size) + 2 * d * sizeof *values;
        if (fetch && d == 0) prefetch(false, ahead + head_size * PAGE_TOKENS * sizeof *values); /* the units */
        for (int token = 0; token < PAGE_TOKENS; token += 2) {
            pairs value[COLUMN_VECS];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) {
                value[v] = pairs_load(values + token * head_size + 2 * v * LANES);
                if (fetch && v * LANES % 16 == 0) prefetch(false, ahead + (token * head_size + 2 * v * LANES) * sizeof *values);
            }
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                const pair weight = pair_load(weights + r * BLOCK_TOKENS + p * PAGE_TOKENS + token);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) sum[r][v] = int_vec_add_products(sum[r][v], weight, value[v]);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        const vec unit = vec_splat(weight_units[r]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *target = sums + r * head_size + d + v * LANES;
            vec_store(target, vec_multiply_add(vec_from_integers(sum[r][v]), unit, vec_load(target)));
        }
    }
}

typedef void score_short_function(const char *const *pages, const char *const *next, int first, int end,
                                  const int16_t *queries, const float *query_units, int head_size, float *scores);
typedef void sum_short_function(const char *const *pages, const char *const *next, int first, int end,
                                const int16_t *weights, const float *weight_units, int head_size, float *sums);

#define SHORTS(NAME, R, FETCH)                                                                                         \
    TARGET static void score_##NAME##_##R(const char *const *pages, const char *const *next, int first, int end,       \
                                          const int16_t *queries, const float *query_units, int head_size,             \
                                          float *scores) {                                                             \
        enum { ROWS = R < MULTIPLY_STEP ? R : MULTIPLY_STEP, COUNT = COLUMN_VECS / PANEL_VECS };                       \
        for (; first + COUNT <= end; first += COUNT) {                                                                 \
            score_short_pages(pages, next, first, queries, query_units, head_size, scores, ROWS, COUNT, FETCH);        \
        }                                                                                                              \
        for (; first < end; first++) {                                                                                 \
            score_short_pages(pages, next, first, queries, query_units, head_size, scores, ROWS, 1, FETCH);            \
        }                                                                                                              \
    }                                                                                                                  \
    TARGET static void sum_##NAME##_##R(const char *const *pages, const char *const *next, int first, int end,         \
                                        const int16_t *weights, const float *weight_units, int head_size,              \
                                        float *sums) {                                                                 \
        enum { ROWS = R < MULTIPLY_STEP ? R : MULTIPLY_STEP };                                                         \
        int d = 0;                                                                                                     \
        for (; d + COLUMN_VECS * LANES <= head_size; d += COLUMN_VECS * LANES) {                                       \
            sum_short_dimensions(pages, next, first, end, weights, weight_units, head_size, d, sums, ROWS,             \
                                 COLUMN_VECS, FETCH);                                                                  \
        }                                                                                                              \
        for (; d < head_size; d += LANES) {                                                                            \
            sum_short_dimensions(pages, next, first, end, weights, weight_units, head_size, d, sums, ROWS, 1, FETCH);  \
        }                                                                                                              \
    }
#define ALL_SHORTS(NAME, FETCH)                                                                                        \
    SHORTS(NAME, 1, FETCH)                                                                                             \
    SHORTS(NAME, 2, FETCH)                                                                                             \
    SHORTS(NAME, 3, FETCH)                                                                                             \
    SHORTS(NAME, 4, FETCH)                                                                                             \
    SHORTS(NAME, 5, FETCH)                                                                                             \
    SHORTS(NAME, 6, FETCH)
#define SHORT_NAMES(WHAT) {WHAT##_1, WHAT##_2, WHAT##_3, WHAT##_4, WHAT##_5, WHAT##_6}

ALL_SHORTS(near, false)
ALL_SHORTS(far, true)

/* The rows that are taken together when `rows` are left: as alike in number as can be. */
static inline int rows_together(int rows) {
    const int times = (rows + MULTIPLY_STEP - 1) / MULTIPLY_STEP;
    return (rows + times - 1) / times;
}

static void score_shorts(const char *const *pages, const char *const *next, int first, int end, const int16_t *queries,
                         const float *query_units, int rows, int head_size, float *scores) {
    static score_short_function *const near[MULTIPLY_ROWS] = SHORT_NAMES(score_near);
    static score_short_function *const far[MULTIPLY_ROWS] = SHORT_NAMES(score_far);
    for (int row = 0, count; row < rows; row += count) {
        count = rows_together(rows - row);
        score_short_function *const *by_rows = row == 0 && next != NULL ? far : near;
        by_rows[count - 1](pages, next, first, end, queries + (size_t)row * head_size, query_units + row, head_size,
                           scores + (size_t)row * BLOCK_TOKENS);
    }
}

static void sum_shorts(const char *const *pages, const char *const *next, int first, int end, const int16_t *weights,
                       const float *weight_units, int rows, int head_size, float *sums) {
    static sum_short_function *const near[MULTIPLY_ROWS] = SHORT_NAMES(sum_near);
    static sum_short_function *const far[MULTIPLY_ROWS] = SHORT_NAMES(sum_far);
    for (int row = 0, count; row < rows; row += count) {
        count = rows_together(rows - row);
        sum_short_function *const *by_rows = row == 0 && next != NULL ? far : near;
        by_rows[count - 1](pages, next, first, end, weights + (size_t)row * BLOCK_TOKENS, weight_units + row, head_size,
                           sums + (size_t)row * head_size);
    }
}

TARGET static float round_to_shorts(const float *source, int16_t *target, int count, float largest, float norm) {
    vec top = vec_splat(0), squares[PANEL_VECS];
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) squares[v] = vec_splat(0);
    for (int i = 0; i < count; i += PAGE_TOKENS) {
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; v++) {
            const vec x = vec_load(source + i + v * LANES);
            top = vec_max(top, vec_copy_sign(x, vec_splat(1)));
            squares[v] = vec_multiply_add(x, x, squares[v]);
        }
    }
    /* Halves onto halves, so that the order is the same for a vec of any width. */
    float lanes[PAGE_TOKENS];
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) vec_store(lanes + v * LANES, squares[v]);
    for (int width = PAGE_TOKENS / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    }
    const float by_largest = highest_lane(top) / largest, by_norm = sqrtf(lanes[0]) / norm;
    const float unit = by_largest > by_norm ? by_largest : by_norm;
    /* Less is as good as nothing, and its inverse would be no number. */
    if (unit < 1e-30f) {
        memset(target, 0, (size_t)count * sizeof *target);
        return 0;
    }
    /* A square that is beyond floats, or what is no number: only a broken model has such, and its results are to say so. */
    if (!(unit <= FLT_MAX)) {
        for (int i = 0; i < count; i++) target[i] = 1;
        return INFINITY;
    }
    const vec inverse = vec_splat(1 / unit);
    for (int i = 0; i < count; i += LANES) vec_store_shorts(target + i, vec_multiply(vec_load(source + i), inverse));
    return unit;
}

/* Rows that fold_shorts takes through its three loops: what they hold stays in the first-level cache. */
enum { FOLD_STRIP = 32 };

/* Turns a row's scores into weights times the units of their values, whose sums in each lane are handed out. */
FORCE_INLINE void weigh_row(float *scores, const float *value_units, int begin, int end, const bool whole,
                            struct softmax_state *state, vec *in_lanes) {
    const vec base = vec_splat(state->base);
    vec totals[PANEL_VECS];
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) totals[v] = vec_load(state->totals + v * LANES);
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
        vec unit = vec_load(value_units + v * LANES);
        vec weight = vec_exp2_for(vec_subtract(vec_load(scores + v * LANES), base), true);
        if (!whole) {
            /* The unit of a token that is not seen may be anything. */
            unit = vec_between(unit, begin - v * LANES, end - v * LANES, vec_splat(0));
            weight = vec_between(weight, begin - v * LANES, end - v * LANES, vec_splat(0));
        }
        totals[v % PANEL_VECS] = vec_add(totals[v % PANEL_VECS], weight);
        const vec product = vec_multiply(weight, unit);
        vec_store(scores + v * LANES, product);
        in_lanes[v % PANEL_VECS] = v < PANEL_VECS ? product : vec_add(in_lanes[v % PANEL_VECS], product);
    }
#pragma GCC unroll 4
    for (int v = 0; v < PANEL_VECS; v++) vec_store(state->totals + v * LANES, totals[v]);
}

/* Rounds what weigh_row has left of a row. */
FORCE_INLINE void round_row(const float *products, float inverse, int16_t *target) {
    const vec by = vec_splat(inverse);
#pragma GCC unroll 16
    for (int v = 0; v < BLOCK_VECS; v++) {
        vec_store_shorts(target + v * LANES, vec_multiply(vec_load(products + v * LANES), by));
    }
}

/* In loops whose turns do not wait for each other. */
FORCE_INLINE void fold_short_strip(float *scores, const float *value_units, int rows, int begin, int end,
                                   const bool whole, struct softmax_state *states, float *sums, int head_size,
                                   int16_t *weights, float *units) {
    vec tops[FOLD_STRIP]; /* the greatest of those sums */
    float inverse[FOLD_STRIP];
    int r = 0;
    for (; r + FOLD_ROWS <= rows; r += FOLD_ROWS) {
        raise_bases(scores + r * BLOCK_TOKENS, begin, end, whole, states + r, sums + (size_t)r * head_size, head_size,
                    FOLD_ROWS);
    }
    for (; r < rows; r++) {
        raise_bases(scores + r * BLOCK_TOKENS, begin, end, whole, states + r, sums + (size_t)r * head_size, head_size,
                    1);
    }
    for (r = 0; r < rows; r++) {
        vec in_lanes[PANEL_VECS];
        weigh_row(scores + r * BLOCK_TOKENS, value_units, begin, end, whole, states + r, in_lanes);
        tops[r] = in_lanes[0];
#pragma GCC unroll 4
        for (int v = 1; v < PANEL_VECS; v++) tops[r] = vec_max(tops[r], in_lanes[v]);
    }
    for (r = 0; r + FOLD_ROWS <= rows; r += FOLD_ROWS) highest_lanes(tops + r, units + r, FOLD_ROWS);
    for (; r < rows; r++) units[r] = highest_lane(tops[r]);
    for (r = 0; r < rows; r++) {
        const float highest = units[r];
        units[r] = highest * (1 / LANE_WEIGHT);
        inverse[r] = LANE_WEIGHT / (highest > 1e-30f ? highest : INFINITY);
    }
    for (r = 0; r < rows; r++) round_row(scores + r * BLOCK_TOKENS, inverse[r], weights + r * BLOCK_TOKENS);
}

TARGET static void fold_shorts(float *scores, const float *value_units, int rows, int begin, int end,
                               struct softmax_state *states, float *sums, int head_size, int16_t *weights,
                               float *units) {
    for (int r = 0, count; r < rows; r += count) {
        count = rows - r < FOLD_STRIP ? rows - r : FOLD_STRIP;
        float *from = scores + r * BLOCK_TOKENS, *sums_at = sums + (size_t)r * head_size;
        int16_t *to = weights + r * BLOCK_TOKENS;
        struct softmax_state *state = states + r;
        if (begin == 0 && end == BLOCK_TOKENS) {
            fold_short_strip(from, value_units, count, begin, end, true, state, sums_at, head_size, to, units + r);
        } else {
            fold_short_strip(from, value_units, count, begin, end, false, state, sums_at, head_size, to, units + r);
        }
    }
}
