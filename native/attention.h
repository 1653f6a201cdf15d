/* Paged attention of one layer, following the plan of the step. */
#ifndef QUIRE_ATTENTION_INTERNAL_H
#define QUIRE_ATTENTION_INTERNAL_H

#include "page_memory.h"
#include "quire_attention.h"
#include "step_plan.h"

/* What one thread computes in; grows to the largest tile it has met. */
struct workspace {
    float *memory;
    size_t floats;
};

void workspace_free(struct workspace *workspace);

/*
 * Computes all rows of one tile for the query heads that read one kv head. Returns false when there is no memory for
 * the workspace; the outputs are then unset.
 */
bool attend_tile(const struct page_memory *memory, const struct kernel *kernel, const struct step_plan *plan,
                 const struct tile *tile, int layer, int kv_head, const struct quire_queries *queries,
                 struct workspace *workspace);

#endif
