/* Attention of one query of one head, written down as plainly as can be: in doubles, and in floats. */
#ifndef QUIRE_TEST_REFERENCE_H
#define QUIRE_TEST_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One query and what it sees: positions first .. last, of which the last is its own. */
struct reference_head {
    int32_t head_size;
    int32_t first, last;
    const float *query;
    const float *keys;   /* of position p at keys + p * stride, as a page holds them; for I16 pages as they are given */
    const float *values;
    size_t stride;       /* in floats */
    float scale;
    float softcap;       /* scores become softcap * tanh(score / softcap), unless 0 */
    float slope;         /* ALiBi: a score changes by slope * (its position - last) */
    const float *sink;   /* a score without a value; or NULL */
    bool shorts;         /* the bound is that of I16 pages, what they round keys and values by included */
};

/* The slope of a head under ALiBi, as llama.cpp defines it; 0 without a bias. */
float reference_slope(int32_t head, int32_t heads, float max_bias);

/*
 * Writes head_size doubles: the output, and how far from it single precision may be, whatever the order of its sums.
 * Returns 0, or -1 when there is no memory.
 */
int32_t reference_attention(const struct reference_head *head, double *output, double *bound);

/* The same computed in floats, first position first, with the C library's functions. */
int32_t reference_single(const struct reference_head *head, float *output);

#endif
