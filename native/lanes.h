/* Contexts that compute one step side by side: what quire_attention.h calls lanes. */
#ifndef QUIRE_LANES_H
#define QUIRE_LANES_H

#include "quire_attention.h"

#include <stdatomic.h>
#include <stdbool.h>

struct lane_team;

struct quire_lanes {
    int32_t count;
    struct quire_attention **handles; /* [count] */
    uint64_t *writers;                /* [pages], 2^lane for each lane that writes to a page; zeros between steps */
    atomic_bool failed;               /* a lane has: the others must not wait for it */
    struct lane_team *team;
};

/* To be called when a lane cannot go on. */
static inline void lanes_fail(struct quire_lanes *lanes) { atomic_store(&lanes->failed, true); }

/*
 * Waits until so many have come there, or a lane has failed. `lanes` may be NULL. As in ggml's own barrier, threads spin: what
 * they wait for takes microseconds.
 */
void lanes_await(const struct quire_lanes *lanes, const atomic_int *arrived, int threads);

#endif
