/* Contexts that compute one step side by side: what quire_attention.h calls lanes. */
#ifndef QUIRE_LANES_H
#define QUIRE_LANES_H

#include "quire_attention.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Threads of all lanes that have written their share of a layer's keys and values in this step. */
struct lanes_layer {
    _Alignas(64) atomic_int arrived;
};

struct lane_team;

struct quire_lanes {
    int32_t count;
    struct quire_attention **handles; /* [count] */
    struct lanes_layer *layers;       /* [layers] */
    uint8_t *writers;                 /* [pages], 1 + the lane that writes to a page in this step; or 0, or MANY_LANES */
    bool dependent;                   /* a lane reads in this step what another one writes */
    atomic_bool failed;               /* a lane has: the others must not wait for it */
    struct lane_team *team;
};

/* To be called when a lane cannot go on. */
static inline void lanes_fail(struct quire_lanes *lanes) { atomic_store(&lanes->failed, true); }

/*
 * Waits until so many have come here, or a lane has failed. `lanes` may be NULL. As in ggml's own barrier, threads spin: what
 * they wait for takes microseconds.
 */
void lanes_meet(struct quire_lanes *lanes, atomic_int *arrived, int threads);

#endif
