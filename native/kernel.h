/*
 * What an instruction set has to offer to attention: a few operations on plain arrays. Each level implements them by
 * including kernel_template.h, which is where the order of sums is written down.
 */
#ifndef QUIRE_KERNEL_H
#define QUIRE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAGE_TOKENS = 16,  /* also the width of a panel: one vector of 16 lanes, whatever the hardware's width */
    BLOCK_PAGES = 4,
    BLOCK_TOKENS = PAGE_TOKENS * BLOCK_PAGES, /* the softmax takes this many positions at a time */
    SPLIT_BLOCKS = 8,  /* blocks whose sums are taken together; longer rows add up splits */
    MULTIPLY_ROWS = 6, /* rows of A that `multiply` serves with one pass over B */
    MAX_DIRECT_QUERIES = 8,
    SCALE_VALUES = 32, /* values of a Q8_0 page that have a common scale */
    MAX_HEAD_SIZE = 256,
};

/*
 * I16 pages. A sum of products of integers is exact as long as it fits 32 bits at its end:
 *
 * - A score is a sum of at most VECTOR_NORM^2 by the inequality of Cauchy and Schwarz, as neither vector is longer than
 *   VECTOR_NORM. Rounding makes one longer by up to sqrt(MAX_HEAD_SIZE) / 2 = 8, and 46338^2 < 2^31.
 * - Weights of a block, multiplied with the units of their values, add up to LANE_WEIGHT at most in the lane (offset in a
 *   page) that has most: over 16 lanes, with rounding, to 262,032. That times VALUE_LARGEST is less than 2^31.
 */
#define VECTOR_LARGEST 32767.0f
#define VECTOR_NORM 46330.0f
#define VALUE_LARGEST 8191.0f
#define LANE_WEIGHT 16375.0f

/* The units [token] of the keys or values of an I16 page, which begin at `half`. */
static inline float *page_units(const char *half, int head_size) {
    return (float *)(half + (size_t)head_size * PAGE_TOKENS * sizeof(int16_t));
}

/*
 * Weights are taken relative to a base: the highest score of the first block, and a later block's when that is higher by more
 * than this. So a base hardly ever changes, which costs a processor more than it seems: it must guess whether one will.
 */
#define BASE_SLACK 8.0f

/* State of one query's online softmax (Milakov and Gimelshein 2018) between two blocks. */
struct softmax_state {
    _Alignas(64) float totals[PAGE_TOKENS]; /* of 2^(score - base), one for each offset in a page */
    float base;                             /* -INFINITY at the start */
};

/* What happens to a score before the softmax, besides the scale. Scores are logarithms to base 2. */
struct score_rule {
    float softcap;  /* score = softcap * tanh(score / softcap), unless 0; all of this in the unit of scores */
    float slope;    /* ALiBi: the score of a key at position p changes by slope * (p - position of the query) */
    float distance; /* of the block's first key from the query: 0 or negative until the query's own block */
};

/*
 * How one type of page is read. `page` is one head's part of a page: its keys, then its values (page_memory.h). The
 * direct operations are for few queries, which one pass over the page serves; `next` are the pages that will be asked
 * for next, which they fetch meanwhile. Pages of both are BLOCK_PAGES pointers; those behind the last are never read,
 * but must be addresses.
 */
struct page_format {
    /* Keys as floats, [head_size] rows of 16, BLOCK_TOKENS floats apart; values as [16][head_size]. */
    void (*widen_keys)(const char *page, float *target, int head_size);
    void (*widen_values)(const char *page, float *target, int head_size);

    /*
     * scores[row][64], of pages [first, end): the sums that `multiply` of queries [rows][head_size] and widened keys
     * makes. At most the kernel's direct_queries rows.
     */
    void (*score)(const char *const *pages, const char *const *next, int first, int end, const float *queries, int rows,
                  int head_size, float *scores);

    /* sums[row][head_size] += weights[row][64] times the values of the block's tokens [begin, end), likewise. */
    void (*sum)(const char *const *pages, const char *const *next, int begin, int end, const float *weights, int rows,
                int head_size, float *sums);
};

struct kernel {
    const char *name;
    int direct_queries;         /* most queries that the direct operations take: what the registers can hold */
    struct page_format formats[2]; /* of pages that are read as floats, by enum quire_page_type */

    /* Rounds `count` floats, a multiple of 16, to halves, ties to even. */
    void (*narrow)(const float *source, uint16_t *target, int count);

    /*
     * C[rows][columns] = (from_zero ? 0 : C) + A[rows][depth] B[depth][columns]; columns is a multiple of 16. Strides
     * are in floats. Every element of C is summed over depth in sequence, alone: its bits depend on nothing but its own
     * row of A, its own column of B, and depth. Calling it for depth m and then for the n that follow gives the bits of
     * one call for m + n.
     */
    void (*multiply)(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, float *c,
                     ptrdiff_t c_stride, int rows, int columns, int depth, bool from_zero);

    /*
     * An RMS norm (Zhang and Sennrich 2019) of `count` floats, a multiple of 16: target = x / sqrt(mean of x^2 + epsilon) *
     * weight, of x = a, or where b is not NULL of x = a + b, which is then written to `sum`. Arrays may be in the same place.
     */
    void (*norm)(const float *a, const float *b, float *sum, const float *weight, float *target, int count,
                 float epsilon);

    /*
     * Rotates the first `dimensions` of `count` floats, a multiple of 16, into `target`, and copies the rest. Each becomes the first
     * number of its pair times its factor, plus the second one times its factor of the second `dimensions`. A pair is of
     * `neighbours`, or has a number of each half.
     */
    void (*rotate)(const float *source, const float *factors, int dimensions, bool neighbours, float *target, int count);

    /* Soft-cap and ALiBi: changes the scores [rows][64] of one block. */
    void (*change_scores)(float *scores, int rows, const struct score_rule *rule);

    /*
     * One block: turns the scores [begin, end), which are not empty, of each of [rows][64] into weights
     * 2^(score - maximum) and the other ones into 0, and brings states[rows] and sums[rows][head_size] to the new
     * maxima. A row's result has the same bits whatever rows are with it.
     */
    void (*fold)(float *scores, int rows, int begin, int end, struct softmax_state *states, float *sums, int head_size);

    /* Adds the state and sums of the positions that follow: what `from` holds is as if its blocks had been folded. */
    void (*merge)(struct softmax_state *state, float *sums, const struct softmax_state *from, const float *from_sums,
                  int head_size);

    /*
     * I16 pages, which take any number of queries at a time, and in which a row's results do not depend on the others
     * either.
     *
     * Rounds a vector to integers of which none is larger than `largest` and which together are no longer than `norm`,
     * and returns their unit: target[i] * unit is about source[i]. For what is not finite, that is infinite. `count` is
     * a multiple of 16.
     */
    float (*round_to_shorts)(const float *source, int16_t *target, int count, float largest, float norm);

    /*
     * One block, as fold does it, but the weights [rows][64] are times the units of their values [64], as integers and a
     * unit for each row; what becomes of the scores is not said. Of the value units, only those in [begin, end) are looked at.
     */
    void (*fold_shorts)(float *scores, const float *value_units, int rows, int begin, int end,
                        struct softmax_state *states, float *sums, int head_size, int16_t *weights, float *units);

    /*
     * scores[rows][64] of pages [first, end) of the block, from queries [rows][head_size] and their units. `next` as
     * above, or NULL.
     */
    void (*score_shorts)(const char *const *pages, const char *const *next, int first, int end, const int16_t *queries,
                         const float *query_units, int rows, int head_size, float *scores);

    /* sums[rows][head_size] += weights[rows][64] times the values of pages [first, end) of the block. */
    void (*sum_shorts)(const char *const *pages, const char *const *next, int first, int end, const int16_t *weights,
                       const float *weight_units, int rows, int head_size, float *sums);
};

extern const struct kernel kernel_portable;
#if defined(__x86_64__)
extern const struct kernel kernel_avx512;
extern const struct kernel kernel_avx2;
#elif defined(__aarch64__)
extern const struct kernel kernel_neon;
#endif

/* The index-th level that this machine can run, the fastest first; NULL behind the last. */
const struct kernel *kernel_at(int index);

/* The level of that name if this machine can run it, else NULL. */
const struct kernel *kernel_named(const char *name);

#endif
