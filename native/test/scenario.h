/*
 * A random model with random sequences over it: everything that attention's results may depend on. How the sequences
 * are cut into steps, and where their pages lie, is not part of it (crowd.h): the results must not depend on that.
 */
#ifndef QUIRE_TEST_SCENARIO_H
#define QUIRE_TEST_SCENARIO_H

#include "quire_attention.h"
#include "rng.h"

enum { PAGE_TOKENS = 16, MAX_LAYERS = 2, MAX_SEQUENCES = 48, MAX_LENGTH = 2400 };

/*
 * Of its positions, the first `shared` are its parent's; those up to `begin` are there without having been computed, so
 * that tests of long sequences need not be long; each of the others is a row of the scenario.
 */
struct sequence {
    int parent; /* an earlier sequence, -1: none */
    int shared, begin, length;
    int first_row;          /* index of the row at position `begin` */
    int tokens[MAX_LENGTH]; /* which token is at each position */
};

struct scenario {
    uint64_t seed;
    struct quire_shape shape; /* its number of pages is for those to choose who open a handle */
    uint8_t windowed[MAX_LAYERS];
    int heads;
    float scale, softcap, max_bias;
    float *sinks; /* [heads] or NULL */

    int tokens;
    float *queries;                /* [layer][token][heads * head_size] */
    float *keys, *values;          /* [layer][token][kv_heads * head_size], as they are written */
    /* And as a page holds them, rounded. In I16 pages, where that depends on a whole vector: as an F16 page would. */
    float *stored_keys, *stored_values;
    bool *spoiled;                 /* [token], whether its key and value are infinite or not a number */

    int rows;
    int sequence_count;
    struct sequence sequences[MAX_SEQUENCES];
};

struct scenario *scenario_draw(uint64_t seed);
void scenario_free(struct scenario *scenario);

/* Floats of one token's queries, and of its keys or values, in one layer. */
static inline size_t query_width(const struct scenario *scenario) {
    return (size_t)scenario->heads * (size_t)scenario->shape.head_size;
}
static inline size_t key_width(const struct scenario *scenario) {
    return (size_t)scenario->shape.kv_heads * (size_t)scenario->shape.head_size;
}

/* The first position that a row at `position` sees. */
int scenario_first_seen(const struct scenario *scenario, int layer, int position);

/* Whether a row sees no token that is spoiled, so that its result is a number. */
bool scenario_row_is_sound(const struct scenario *scenario, int layer, int sequence, int position);

/* Zeros, or the end of the program. */
void *must_allocate(size_t count, size_t size);

#endif
