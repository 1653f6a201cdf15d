/*
 * Which rows of a step read which pages together. Made once a step from positions and page tables, and followed by
 * every layer and every head.
 *
 * A tile is up to 32 or 64 rows that see at least their first block through the same pages: rows of one prompt, or of
 * sequences that share a prefix. A span is what some neighbouring rows of a tile do together: the same blocks through
 * the same pages. The spans of a tile are ordered so that each row meets its blocks in ascending order. An item is what
 * one thread does in one go: a tile, or, if there are too few of them, one split of it (SPLIT_BLOCKS in kernel.h).
 *
 * Layers that see everything and layers that see a window have the same tiles, and each a reading of their own.
 */
#ifndef QUIRE_STEP_PLAN_H
#define QUIRE_STEP_PLAN_H

#include "kernel.h"

enum {
    /* Enough rows to make converting a page to floats cheap, few enough for all threads to find work. */
    TILE_ROWS = 32,
    LARGE_TILE_ROWS = 64,   /* in groups of so many rows that threads find work all the same: */
    LARGE_GROUP_ROWS = 256,
    /* Fewer tiles, of all heads, are cut into splits, so that threads have work until all have done theirs. */
    ITEMS_PER_THREAD = 8,
    ITEMS_FOR_MANY = 64, /* for threads of unknown number */
    /* Rows times splits of a tile that may be cut: the results of its splits are kept until all are there. */
    CUT_RESULTS = 2048,
};

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
    bool has_outputs; /* any of its rows does */
};

/* A part of a tile: its spans as far as they lie in blocks [block_begin, block_end). */
struct item {
    int32_t tile;
    int32_t span_begin, span_end;
    int32_t block_begin, block_end;
    int32_t part, parts; /* of the tile; parts is 1 for a whole tile */
    int32_t result;      /* first of the tile's rows among those of all cut tiles, times their parts */
    int32_t cut;         /* which of the cut tiles, or -1 */
    int64_t cost;        /* in arbitrary units: long items go first, so that threads end together */
};

/* What rows of a layer do: all see everything before them, or `window` positions with their own. */
struct reading {
    int32_t window; /* 0: everything */
    int32_t span_count, item_count;
    int32_t cut_count;    /* tiles that are cut */
    int32_t result_count; /* rows of all cut tiles, times their parts */
    struct span *spans;
    struct item *items;
    size_t span_capacity, item_capacity;
};

/* Neighbouring rows of the step with one page table. */
struct sequence {
    int32_t row_begin, row_end;
    int32_t last_position;
    int32_t table;        /* in step_plan.tables */
    int32_t page_count;   /* that its last row sees */
    const int32_t *pages; /* the same place as `table`, once tables has stopped growing */
};

struct step_plan {
    int32_t enough_items; /* with fewer, tiles are cut into splits */
    int32_t row_count;
    int32_t tile_count;
    bool single_rows;      /* no sequence has more than one row: none reads what another one writes */
    int32_t *slots;        /* by row of the step */
    struct plan_row *rows; /* ordered by tile */
    struct tile *tiles;
    int32_t *tables;       /* the pages that the step's rows see, sequence by sequence */
    struct reading readings[2]; /* [0] sees everything; [1] a window, if that is not 0 */

    int32_t table_count, sequence_count;
    struct sequence *sequences;
    size_t slot_capacity, row_capacity, tile_capacity, table_capacity, sequence_capacity;
};

/* How many items let so many threads end together, each of which takes one after the other; 0: who knows how many. */
static inline int32_t enough_items(int32_t threads) {
    if (threads == 0) return ITEMS_FOR_MANY;
    return threads == 1 ? 1 : ITEMS_PER_THREAD * threads;
}

/* The first position that a row at `position` sees. */
static inline int32_t reading_first(const struct reading *reading, int32_t position) {
    return reading->window == 0 || position < reading->window ? 0 : position - reading->window + 1;
}

/*
 * Plans a step; the arguments are those of quire_begin_step, and are checked and copied. `kv_heads` multiplies the
 * items. Returns NULL, or what is wrong with the arguments, after which the plan is empty.
 */
const char *step_plan_make(struct step_plan *plan, int pages, int kv_heads, int32_t rows, const int32_t *positions,
                           const int32_t *slots, const int32_t *table_offsets, const int32_t *tables,
                           int32_t table_entries);

/* Tells which rows have outputs, by row of the step; until then, all have. */
void step_plan_expect_outputs(struct step_plan *plan, const int8_t *outputs);

void step_plan_free(struct step_plan *plan);

#endif
