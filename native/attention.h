/* Paged attention of one layer, following the plan of the step. */
#ifndef QUIRE_ATTENTION_INTERNAL_H
#define QUIRE_ATTENTION_INTERNAL_H

#include "page_memory.h"
#include "quire_attention.h"
#include "rotation.h"
#include "step_plan.h"

#include <stdatomic.h>

/* What one thread computes in; grows to the largest tile it has met. */
struct workspace {
    float *memory;
    size_t floats;
};

void workspace_free(struct workspace *workspace);

/*
 * Results of the splits of cut tiles, which whoever finishes a tile's last one puts together. Both arrays serve one
 * layer after the other.
 */
struct split_results {
    float *memory;
    size_t floats;
    atomic_int *finished; /* [cut tile][kv head]: splits that are done */
    size_t finished_capacity;
};

/* Makes room for the splits of this reading, before its items are attended. Returns false when there is no memory. */
bool split_results_reserve(struct split_results *results, const struct reading *reading,
                           const struct page_memory *memory, int heads);

void split_results_free(struct split_results *results);

/* Keys and values of this step's rows, [row][kv head][d], that are to be written as their readers come to them. */
struct fresh_rows {
    const float *keys, *values;
    size_t key_stride, value_stride; /* of a row, in bytes */
};

/* One layer's attention. */
struct attention_job {
    const struct page_memory *memory;
    const struct kernel *kernel;
    const struct step_plan *plan;
    const struct reading *reading;
    const struct quire_queries *queries;
    const struct rotation *query_rotation, *key_rotation; /* of queries, and of fresh keys; NULL: they are as they should be */
    const struct fresh_rows *fresh; /* NULL: the rows' keys and values are in their pages */
    struct split_results *results;
    atomic_int *next_item; /* the first that no thread has taken yet: item * kv_heads + kv head */
    int layer;
};

/*
 * Computes items, one after the other, until no thread has left any. Returns false when there is no memory for the
 * workspace; some outputs are then unset.
 */
bool attend_items(const struct attention_job *job, struct workspace *workspace);

#endif
