/*
 * Choosing among logits: what sampling needs to do with a whole vocabulary, for src/selection/. Each function has a
 * twin in src/selection/portable-selection.ts that gives the same bits; its comments say what they compute.
 *
 * `count` is at least 1. With NaN among the values the answers mean nothing. No function keeps state.
 */
#ifndef QUIRE_TOKEN_SELECTION_H
#define QUIRE_TOKEN_SELECTION_H

#include <stdint.h>

#ifndef QUIRE_EXPORT
#define QUIRE_EXPORT __attribute__((visibility("default")))
#endif

/* Index of the highest of the values; the first of equals. */
QUIRE_EXPORT int32_t quire_arg_max(const float *values, int32_t count);

/* Writes the indices of the k ≤ count highest values, best first, equals by index. */
QUIRE_EXPORT void quire_top_indices(const float *values, int32_t count, int32_t k, int32_t *indices);

/* How many values are higher than `value`. */
QUIRE_EXPORT int32_t quire_count_above(const float *values, int32_t count, float value);

/* Writes the indices of values ≥ `lowest`, ascending, and returns their number. */
QUIRE_EXPORT int32_t quire_at_least(const float *values, int32_t count, float lowest, int32_t *indices);

/* weights[i] = e^((values[i] − highest) / temperature). Returns their sum. `weights` may be NULL. */
QUIRE_EXPORT double quire_weigh(const float *values, int32_t count, float highest, double temperature, double *weights);

/*
 * Writes the indices of the highest scores, as many as it takes for their weights to sum to `mass`, ascending; of equal
 * scores those with lower indices. Returns their number; all, if the sum stays below.
 */
QUIRE_EXPORT int32_t quire_nucleus(const float *scores, const double *weights, int32_t count, double mass,
                                   int32_t *indices);

/*
 * kept[i] = values[i] where bit i % 32 of mask[i / 32] is set, and −∞ elsewhere.
 */
QUIRE_EXPORT void quire_mask(const float *values, const int32_t *mask, int32_t count, float *kept);

#endif
