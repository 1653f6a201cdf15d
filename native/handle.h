/* What stands behind a handle. */
#ifndef QUIRE_HANDLE_H
#define QUIRE_HANDLE_H

#include "attention.h"

#include <stdatomic.h>

enum { MAX_THREADS = 512 }; /* ggml's own limit */

struct ggml_tensor;
struct quire_lanes;

/* User data of a layer's rewritten nodes. Each layer has a cache line of its own: all threads count in it. */
struct layer {
    _Alignas(64) struct quire_attention *handle;
    int32_t index;
    int32_t graphs;                       /* that attended in this layer since the step began */
    const struct ggml_tensor *keys;       /* what the graph at work would have written to llama.cpp's cache */
    const struct ggml_tensor *values;
    struct rotation *key_rotation;        /* of those keys, NULL: none */
    struct rotation *query_rotation;
    atomic_int next_item;                 /* see struct attention_job */
    atomic_int arrived;                   /* threads that have written their share of this step's keys and values */
};

/* Of the graph that llama.cpp is asking about, NULL before there are any; see norm_nodes.h. */
struct last_nodes {
    struct ggml_tensor *newest, *before;
};

enum { UNREAD_ROTATIONS = 2 }; /* a layer's queries and keys */

struct quire_attention {
    struct page_memory *memory; /* own_memory, or that of the handle whose lane this is */
    struct page_memory own_memory;
    struct quire_lanes *lanes;  /* that this is one of, or NULL */
    uint64_t awaited_lanes;     /* 2^lane for each whose keys and values this one reads in this step */
    bool is_awaited;            /* by another lane */
    const struct kernel *kernel;
    struct quire_op_codes codes;
    struct step_plan plan;
    uint8_t *windowed; /* [layers] */
    int32_t threads;   /* of struct quire_shape, here alone */
    struct workspace workspaces[MAX_THREADS];
    struct split_results results;
    atomic_flag results_lock;
    struct layer *layers;
    struct last_nodes last_nodes;
    struct rotations rotations;
    /* Of this graph: those that could be left to attention, and that nothing has read yet. */
    struct ggml_tensor *unread_rotations[UNREAD_ROTATIONS];

    /* Why this step's graph cannot be computed, if so: it then writes no pages and its attention is all zeros. */
    atomic_bool refused;
    atomic_flag has_reason;
    char reason[QUIRE_ERROR_BYTES];
    bool reason_taken;
};

/*
 * A handle without pages, or NULL when there is no memory. `window`, `windowed` and `threads` are those of a struct
 * quire_shape.
 */
struct quire_attention *handle_make(const struct kernel *kernel, const struct quire_op_codes *codes, int32_t layers,
                                    int32_t window, const uint8_t *windowed, int32_t threads);

/* Refuses this step; the first reason is the one that is told. Any thread may call it. */
void handle_refuse(struct quire_attention *handle, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* quire_attend, of rows whose keys and values are in `fresh` if that is not NULL. */
void handle_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries,
                   const struct fresh_rows *fresh, int32_t thread);

#endif
