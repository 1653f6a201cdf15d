#include "step_plan.h"

#include <stdlib.h>
#include <string.h>

static const char *const no_memory = "no memory for the plan of a step";

/* Makes room for `count` elements of `size` bytes, keeping what is there. */
static bool reserve(void **array, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity) return true;
    const size_t larger = count + count / 2;
    void *moved = realloc(*array, larger * size);
    if (moved == NULL) return false;
    *array = moved;
    *capacity = larger;
    return true;
}

#define RESERVE(array, capacity, count) reserve((void **)&(array), &(capacity), (size_t)(count), sizeof *(array))

/* Copies the visible part of a sequence's table to the end of plan->tables. */
static const char *add_sequence(struct step_plan *plan, struct sequence sequence, int pages, int32_t offset,
                                const int32_t *tables, int32_t table_entries) {
    sequence.page_count = sequence.last_position / PAGE_TOKENS + 1;
    sequence.table = plan->table_count;
    if (offset < 0 || sequence.page_count > table_entries || offset > table_entries - sequence.page_count) {
        return "a page table is shorter than its sequence";
    }
    if (!RESERVE(plan->tables, plan->table_capacity, (size_t)plan->table_count + sequence.page_count) ||
        !RESERVE(plan->sequences, plan->sequence_capacity, plan->sequence_count + 1)) {
        return no_memory;
    }
    for (int32_t i = 0; i < sequence.page_count; i++) {
        const int32_t page = tables[offset + i];
        if (page < 0 || page >= pages) return "a page table names a page that does not exist";
        plan->tables[plan->table_count++] = page;
    }
    plan->sequences[plan->sequence_count++] = sequence;
    return NULL;
}

static const char *find_sequences(struct step_plan *plan, int pages, int32_t rows, const int32_t *positions,
                                  const int32_t *slots, const int32_t *table_offsets, const int32_t *tables,
                                  int32_t table_entries) {
    for (int32_t begin = 0, end; begin < rows; begin = end) {
        end = begin;
        do {
            if (positions[end] < 0) return "a position is negative";
            if (slots[end] < 0 || slots[end] / PAGE_TOKENS >= pages) return "a slot lies outside the pages";
            plan->slots[end] = slots[end];
            end++;
        } while (end < rows && table_offsets[end] == table_offsets[begin] && positions[end] > positions[end - 1]);

        const struct sequence sequence = {.row_begin = begin, .row_end = end, .last_position = positions[end - 1]};
        const char *error = add_sequence(plan, sequence, pages, table_offsets[begin], tables, table_entries);
        if (error != NULL) return error;
    }
    return NULL;
}

/*
 * By page tables, as words in a dictionary: whatever order the step came in, sequences that share pages become
 * neighbours, and of two that share all pages of the shorter one, the shorter comes first.
 */
static int by_table(const void *a, const void *b) {
    const struct sequence *x = a, *y = b;
    const int32_t common = x->page_count < y->page_count ? x->page_count : y->page_count;
    for (int32_t i = 0; i < common; i++) {
        if (x->pages[i] != y->pages[i]) return x->pages[i] < y->pages[i] ? -1 : 1;
    }
    if (x->last_position != y->last_position) return x->last_position < y->last_position ? -1 : 1;
    return x->row_begin < y->row_begin ? -1 : 1;
}

static void sort_sequences(struct step_plan *plan) {
    for (int32_t i = 0; i < plan->sequence_count; i++) {
        plan->sequences[i].pages = plan->tables + plan->sequences[i].table;
    }
    qsort(plan->sequences, (size_t)plan->sequence_count, sizeof *plan->sequences, by_table);
}

static bool share_first_block(const struct sequence *x, const struct sequence *y) {
    if (x->page_count < BLOCK_PAGES || y->page_count < BLOCK_PAGES) return false;
    return memcmp(x->pages, y->pages, BLOCK_PAGES * sizeof *x->pages) == 0;
}

static bool is_done(const struct plan_row *row, int32_t block) { return row->position < block * BLOCK_TOKENS; }

/* Whether two rows see a block through the same pages, as far as both of them see it. */
static bool same_pages(const struct step_plan *plan, const struct plan_row *x, const struct plan_row *y,
                       int32_t block) {
    if (x->table == y->table) return true;
    const int32_t position = x->position < y->position ? x->position : y->position;
    for (int32_t i = block * BLOCK_PAGES; i < (block + 1) * BLOCK_PAGES && i * PAGE_TOKENS <= position; i++) {
        if (plan->tables[x->table + i] != plan->tables[y->table + i]) return false;
    }
    return true;
}

/*
 * The longest span from `begin` on that can take `block` together. All its rows agree with the one that sees the most,
 * which names the pages.
 */
static struct span span_from(const struct step_plan *plan, int32_t begin, int32_t end, int32_t block) {
    const struct plan_row *longest = &plan->rows[begin];
    int32_t stop = begin + 1;
    for (; stop < end; stop++) {
        const struct plan_row *row = &plan->rows[stop];
        if (is_done(row, block) || !same_pages(plan, longest, row, block)) break;
        if (row->position > longest->position) longest = row;
    }
    return (struct span){begin, stop, block, block + 1, longest->table, longest->position};
}

/* The first block that any of these rows sees. */
static int32_t first_block(const struct step_plan *plan, const struct reading *reading, int32_t begin, int32_t end) {
    int32_t lowest = INT32_MAX;
    for (int32_t i = begin; i < end; i++) {
        const int32_t first = reading_first(reading, plan->rows[i].position);
        if (first < lowest) lowest = first;
    }
    return lowest / BLOCK_TOKENS;
}

static bool push_span(struct reading *reading, struct span span, int32_t first) {
    if (reading->span_count > first) {
        struct span *last = &reading->spans[reading->span_count - 1];
        if (last->row_begin == span.row_begin && last->row_end == span.row_end && last->table == span.table &&
            last->block_end == span.block_begin) {
            last->block_end = span.block_end;
            return true;
        }
    }
    if (!RESERVE(reading->spans, reading->span_capacity, reading->span_count + 1)) return false;
    reading->spans[reading->span_count++] = span;
    return true;
}

/* Rows [begin, end) walk together from `block` on, and where their pages part, each part goes on alone. */
static bool walk(const struct step_plan *plan, struct reading *reading, int32_t begin, int32_t end, int32_t block) {
    const int32_t first = reading->span_count;
    for (;; block++) {
        while (begin < end && is_done(&plan->rows[begin], block)) begin++;
        if (begin == end) return true;
        const int32_t lowest = first_block(plan, reading, begin, end);
        if (lowest > block) block = lowest;
        const struct span span = span_from(plan, begin, end, block);
        if (span.row_end < end) break;
        if (!push_span(reading, span, first)) return false;
    }
    while (begin < end) {
        if (is_done(&plan->rows[begin], block)) {
            begin++;
            continue;
        }
        const struct span span = span_from(plan, begin, end, block);
        if (!walk(plan, reading, span.row_begin, span.row_end, block)) return false;
        begin = span.row_end;
    }
    return true;
}

/* Reading a block and converting it costs about as much as one and a half rows of arithmetic on it. */
static int64_t cost_of(const struct reading *reading, const struct item *item) {
    int64_t cost = 0;
    for (int32_t i = item->span_begin; i < item->span_end; i++) {
        const struct span *span = &reading->spans[i];
        const int32_t begin = span->block_begin > item->block_begin ? span->block_begin : item->block_begin;
        const int32_t end = span->block_end < item->block_end ? span->block_end : item->block_end;
        if (end > begin) cost += (int64_t)(end - begin) * (2 * (span->row_end - span->row_begin) + 3);
    }
    return cost;
}

static bool push_item(struct reading *reading, struct item item) {
    if (!RESERVE(reading->items, reading->item_capacity, reading->item_count + 1)) return false;
    item.cost = cost_of(reading, &item);
    reading->items[reading->item_count++] = item;
    return true;
}

/* How a tile's rows read, as one item or, if `may_cut` and they are not too many, as one for each split. */
static bool add_items(const struct step_plan *plan, struct reading *reading, int32_t index, bool may_cut) {
    const struct tile *tile = &plan->tiles[index];
    struct item item = {.tile = index, .span_begin = reading->span_count, .block_end = INT32_MAX, .parts = 1, .cut = -1};
    if (!walk(plan, reading, tile->row_begin, tile->row_end, 0)) return false;
    item.span_end = reading->span_count;

    int32_t last_block = 0;
    for (int32_t i = item.span_begin; i < item.span_end; i++) {
        if (reading->spans[i].block_end > last_block) last_block = reading->spans[i].block_end;
    }
    const int32_t first_split = first_block(plan, reading, tile->row_begin, tile->row_end) / SPLIT_BLOCKS;
    const int32_t parts = (last_block - 1) / SPLIT_BLOCKS - first_split + 1;
    const int32_t results = parts * (tile->row_end - tile->row_begin);
    if (!may_cut || parts < 2 || results > CUT_RESULTS) return push_item(reading, item);

    item.parts = parts;
    item.cut = reading->cut_count++;
    item.result = reading->result_count;
    reading->result_count += results;
    for (item.part = 0; item.part < parts; item.part++) {
        item.block_begin = (first_split + item.part) * SPLIT_BLOCKS;
        item.block_end = item.block_begin + SPLIT_BLOCKS;
        if (!push_item(reading, item)) return false;
    }
    return true;
}

static int costliest_first(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    return (x->cost < y->cost) - (x->cost > y->cost);
}

static bool make_reading(const struct step_plan *plan, struct reading *reading, int kv_heads) {
    const bool may_cut = (int64_t)plan->tile_count * kv_heads < plan->enough_items;
    for (int32_t i = 0; i < plan->tile_count; i++) {
        if (!add_items(plan, reading, i, may_cut)) return false;
    }
    qsort(reading->items, (size_t)reading->item_count, sizeof *reading->items, costliest_first);
    return true;
}

/* Lays out the rows in the order of the sequences, and cuts those of a sharing group into tiles of about equal size. */
static bool cut_tiles(struct step_plan *plan, const int32_t *positions) {
    int32_t placed = 0;
    for (int32_t begin = 0, end; begin < plan->sequence_count; begin = end) {
        const int32_t group = placed;
        end = begin;
        do {
            const struct sequence *sequence = &plan->sequences[end++];
            for (int32_t row = sequence->row_begin; row < sequence->row_end; row++) {
                plan->rows[placed++] = (struct plan_row){row, positions[row], sequence->table};
            }
        } while (end < plan->sequence_count &&
                 share_first_block(&plan->sequences[end - 1], &plan->sequences[end]));

        const int32_t rows = placed - group;
        const int32_t most = rows < LARGE_GROUP_ROWS ? TILE_ROWS : LARGE_TILE_ROWS;
        const int32_t tiles = (rows + most - 1) / most;
        if (!RESERVE(plan->tiles, plan->tile_capacity, plan->tile_count + tiles)) return false;
        for (int32_t i = 0; i < tiles; i++) {
            const int32_t from = group + (int32_t)((int64_t)rows * i / tiles);
            const int32_t to = group + (int32_t)((int64_t)rows * (i + 1) / tiles);
            plan->tiles[plan->tile_count++] = (struct tile){from, to, true};
        }
    }
    return true;
}

static void clear(struct step_plan *plan) {
    plan->row_count = plan->tile_count = plan->table_count = plan->sequence_count = 0;
    for (int i = 0; i < 2; i++) {
        struct reading *reading = &plan->readings[i];
        reading->span_count = reading->item_count = reading->cut_count = reading->result_count = 0;
    }
}

const char *step_plan_make(struct step_plan *plan, int pages, int kv_heads, int32_t rows, const int32_t *positions,
                           const int32_t *slots, const int32_t *table_offsets, const int32_t *tables,
                           int32_t table_entries) {
    clear(plan);
    if (rows < 1) return "a step needs at least one row";
    if (!RESERVE(plan->slots, plan->slot_capacity, rows) || !RESERVE(plan->rows, plan->row_capacity, rows)) {
        return no_memory;
    }
    const char *error = find_sequences(plan, pages, rows, positions, slots, table_offsets, tables, table_entries);
    if (error == NULL) {
        sort_sequences(plan);
        bool enough = cut_tiles(plan, positions) && make_reading(plan, &plan->readings[0], kv_heads);
        if (plan->readings[1].window != 0) enough = enough && make_reading(plan, &plan->readings[1], kv_heads);
        if (!enough) error = no_memory;
    }
    if (error != NULL) {
        clear(plan);
        return error;
    }
    plan->single_rows = plan->sequence_count == rows;
    plan->row_count = rows;
    return NULL;
}

void step_plan_expect_outputs(struct step_plan *plan, const int8_t *outputs) {
    for (int32_t i = 0; i < plan->tile_count; i++) {
        struct tile *tile = &plan->tiles[i];
        tile->has_outputs = false;
        for (int32_t row = tile->row_begin; row < tile->row_end; row++) {
            tile->has_outputs |= outputs[plan->rows[row].row] != 0;
        }
    }
}

void step_plan_free(struct step_plan *plan) {
    free(plan->slots);
    free(plan->rows);
    free(plan->tiles);
    free(plan->tables);
    free(plan->sequences);
    for (int i = 0; i < 2; i++) {
        free(plan->readings[i].spans);
        free(plan->readings[i].items);
    }
}
