/* What stands behind a handle. */
#ifndef QUIRE_HANDLE_H
#define QUIRE_HANDLE_H

#include "attention.h"

#include <stdatomic.h>

enum { MAX_THREADS = 512 }; /* ggml's own limit */

/* User data of a layer's rewritten nodes. Each layer has a cache line of its own: all threads count in it. */
struct layer {
    _Alignas(64) struct quire_attention *handle;
    int32_t index;
    int32_t graphs;        /* that attended in this layer since the step began */
    atomic_int next_item;  /* work of this step that no thread has taken yet: tile * kv_heads + kv head */
};

struct quire_attention {
    struct page_memory memory;
    const struct kernel *kernel;
    struct quire_op_codes codes;
    struct step_plan plan;
    struct workspace workspaces[MAX_THREADS];
    struct layer *layers;

    /* Why this step's graph cannot be computed, if so: it then writes no pages and its attention is all zeros. */
    atomic_bool refused;
    atomic_flag has_reason;
    char reason[QUIRE_ERROR_BYTES];
    bool reason_taken;
};

/* Refuses this step; the first reason is the one that is told. Any thread may call it. */
void handle_refuse(struct quire_attention *handle, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
