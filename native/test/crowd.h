/* Runs scenarios through the library, together and alone. */
#ifndef QUIRE_TEST_CROWD_H
#define QUIRE_TEST_CROWD_H

#include "scenario.h"

/* Floats of one layer's outputs, [row][heads * head_size]; all outputs of a scenario are [layer] of that. */
static inline size_t layer_outputs(const struct scenario *scenario) {
    return (size_t)scenario->rows * query_width(scenario);
}

/*
 * Computes all rows in steps that `seed` draws: chunks of several sequences in any order, on one to four threads, in
 * pages anywhere in a pool that was full of garbage before. Exits when the library refuses something.
 */
void run_crowd(const struct scenario *scenario, const char *level, uint64_t seed, float *outputs);

/* Computes one row by itself, on one thread, in pages in their order that hold its sequence alone. */
void run_alone(const struct scenario *scenario, const char *level, int sequence, int position, float *outputs);

#endif
