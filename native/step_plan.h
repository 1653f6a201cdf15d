/*
 * Which rows of a step read which pages together. Made once a step from positions and page tables, and followed by
 * every layer and every head.
 *
 * A tile is up to TILE_ROWS rows that see at least their first block through the same pages: rows of one prompt, or of
 * sequences that share a prefix. A span is what some neighbouring rows of a tile do together: the same blocks through
 * the same pages. The spans of a tile are ordered so that each row meets its blocks in ascending order.
 */
#ifndef QUIRE_STEP_PLAN_H
#define QUIRE_STEP_PLAN_H

#include "kernel.h"

/* Enough rows to make converting a page to floats cheap, few enough for all threads to find work. */
enum { TILE_ROWS = 16 };

struct plan_row {
    int32_t row;      /* in the step */
    int32_t position;
    int32_t table;    /* where its sequence's pages begin in step_plan.tables */
};

struct span {
    int32_t row_begin, row_end;     /* in step_plan.rows */
    int32_t block_begin, block_end; /* block b is positions 64 b .. 64 b + 63 */
    int32_t table;                  /* pages of the row that sees the most, in step_plan.tables */
    int32_t last_position;          /* of that row */
};

struct tile {
    int32_t row_begin, row_end;
    int32_t span_begin, span_end;
    int64_t cost; /* what it takes, in arbitrary units: long tiles go first, so that threads end together */
};

struct sequence;

struct step_plan {
    int32_t row_count;
    int32_t tile_count;
    int32_t *slots;        /* by row of the step */
    struct plan_row *rows; /* ordered by tile */
    struct tile *tiles;
    struct span *spans;
    int32_t *tables; /* the pages that the step's rows see, sequence by sequence */

    int32_t span_count, table_count, sequence_count;
    struct sequence *sequences;
    size_t slot_capacity, row_capacity, tile_capacity, span_capacity, table_capacity, sequence_capacity;
};

/*
 * Plans a step; the arguments are those of quire_begin_step, and are checked and copied. Returns NULL, or what is wrong
 * with them, after which the plan is empty.
 */
const char *step_plan_make(struct step_plan *plan, int pages, int32_t rows, const int32_t *positions,
                           const int32_t *slots, const int32_t *table_offsets, const int32_t *tables,
                           int32_t table_entries);

void step_plan_free(struct step_plan *plan);

#endif
