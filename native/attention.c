#include "attention.h"

#include "aligned_memory.h"

#include <math.h>
#include <string.h>

/* A tile at work: query `row * group + head` of the tile is row `row` and the head-th of the kv head's query heads. */
struct tile_work {
    const struct page_memory *memory;
    const struct kernel *kernel;
    const struct step_plan *plan;
    int layer;
    int kv_head;
    int group;        /* query heads of one kv head */
    int head_size;
    int32_t first_row; /* of the tile, in plan->rows */

    float *queries;   /* [query][d], scaled */
    float *sums;      /* [query][d], weighted sums of values so far */
    float *scores;    /* [query][64], of the current block; then its weights */
    float *keys;      /* [d][64], of the current block */
    float *values;    /* [64][d] */
    struct softmax_state *states; /* [query] */
};

void workspace_free(struct workspace *workspace) {
    aligned_memory_free(workspace->memory);
    *workspace = (struct workspace){0};
}

/* Points the arrays of `work` into the workspace, for that many queries. */
static bool lay_out(struct tile_work *work, size_t queries, struct workspace *workspace) {
    const size_t d = (size_t)work->head_size;
    const size_t state_floats = queries * sizeof(struct softmax_state) / sizeof(float);
    const size_t floats = 2 * BLOCK_TOKENS * d + queries * (2 * d + BLOCK_TOKENS) + state_floats;
    if (floats > workspace->floats) {
        workspace_free(workspace);
        workspace->memory = aligned_memory_get(64, floats * sizeof(float));
        if (workspace->memory == NULL) return false;
        workspace->floats = floats;
    }
    work->keys = workspace->memory;
    work->values = work->keys + BLOCK_TOKENS * d;
    work->queries = work->values + BLOCK_TOKENS * d;
    work->sums = work->queries + queries * d;
    work->scores = work->sums + queries * d;
    work->states = (struct softmax_state *)(work->scores + queries * BLOCK_TOKENS);
    return true;
}

static const float *query_at(const struct quire_queries *queries, int32_t row, int head) {
    return (const float *)((const char *)queries->query + (size_t)row * queries->query_row_stride +
                           (size_t)head * queries->query_head_stride);
}

static float *output_at(const struct quire_queries *queries, int32_t row, int head) {
    return (float *)((char *)queries->output + (size_t)row * queries->output_row_stride +
                     (size_t)head * queries->output_head_stride);
}

static void load_queries(const struct tile_work *work, const struct tile *tile, const struct quire_queries *queries) {
    size_t query = 0;
    for (int32_t i = tile->row_begin; i < tile->row_end; i++) {
        for (int head = 0; head < work->group; head++, query++) {
            const float *source = query_at(queries, work->plan->rows[i].row, work->kv_head * work->group + head);
            for (int d = 0; d < work->head_size; d++) {
                work->queries[query * work->head_size + d] = source[d] * queries->scale;
                work->sums[query * work->head_size + d] = 0;
            }
            work->states[query] = (struct softmax_state){.maximum = -INFINITY};
        }
    }
}

/* Halves onto halves, so that the order is the same for a vector of any width. */
static float total_of(const struct softmax_state *state) {
    float totals[PAGE_TOKENS];
    memcpy(totals, state->totals, sizeof totals);
    for (int width = PAGE_TOKENS / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) totals[i] += totals[i + width];
    }
    return totals[0];
}

static void store_outputs(const struct tile_work *work, const struct tile *tile, const struct quire_queries *queries) {
    size_t query = 0;
    for (int32_t i = tile->row_begin; i < tile->row_end; i++) {
        for (int head = 0; head < work->group; head++, query++) {
            float *target = output_at(queries, work->plan->rows[i].row, work->kv_head * work->group + head);
            const float share = 1.0f / total_of(&work->states[query]);
            for (int d = 0; d < work->head_size; d++) target[d] = work->sums[query * work->head_size + d] * share;
        }
    }
}

static int pages_in_block(const struct span *span, int32_t block) {
    const int32_t left = span->last_position / PAGE_TOKENS + 1 - block * BLOCK_PAGES;
    return left < BLOCK_PAGES ? left : BLOCK_PAGES;
}

/* Asks for a page ahead of its use: pages lie anywhere, so the hardware cannot guess where the next one is. */
static void prefetch_page(const struct tile_work *work, int32_t page) {
    const size_t at = page_memory_at(work->memory, work->layer, page, work->kv_head);
    const size_t bytes = page_memory_head_halves(work->memory) * sizeof(uint16_t);
    for (size_t byte = 0; byte < bytes; byte += 64) {
        __builtin_prefetch((const char *)(work->memory->keys + at) + byte, 0, 2);
        __builtin_prefetch((const char *)(work->memory->values + at) + byte, 0, 2);
    }
}

static void load_block(const struct tile_work *work, const struct span *span, int32_t block) {
    const int32_t *table = work->plan->tables + span->table + block * BLOCK_PAGES;
    const int ahead = block + 1 < span->block_end ? pages_in_block(span, block + 1) : 0;
    const int d = work->head_size;
    for (int i = 0; i < pages_in_block(span, block); i++) {
        if (i < ahead) prefetch_page(work, table[i + BLOCK_PAGES]);
        const size_t at = page_memory_at(work->memory, work->layer, table[i], work->kv_head);
        work->kernel->widen(work->memory->keys + at, work->keys + i * PAGE_TOKENS, BLOCK_TOKENS, d);
        work->kernel->widen(work->memory->values + at, work->values + (size_t)i * PAGE_TOKENS * d, PAGE_TOKENS, d);
    }
}

/* How many of a block's positions a row sees, 1 to 64. */
static int visible(const struct tile_work *work, int32_t row, int32_t block) {
    const int32_t seen = work->plan->rows[row].position + 1 - block * BLOCK_TOKENS;
    return seen < BLOCK_TOKENS ? seen : BLOCK_TOKENS;
}

/* One block for rows [begin, end), which see between `least` and `most` of its positions. */
static void attend_band(const struct tile_work *work, int32_t begin, int32_t end, int32_t block, int least, int most) {
    const struct kernel *kernel = work->kernel;
    const int d = work->head_size;
    const size_t first = (size_t)(begin - work->first_row) * work->group;
    const int queries = (end - begin) * work->group;
    float *scores = work->scores + first * BLOCK_TOKENS;
    float *sums = work->sums + first * d;

    const int columns = (most + PAGE_TOKENS - 1) / PAGE_TOKENS * PAGE_TOKENS;
    kernel->multiply(work->queries + first * d, d, work->keys, BLOCK_TOKENS, scores, BLOCK_TOKENS, queries, columns, d,
                     true);
    for (int query = 0; query < queries; query++) {
        kernel->fold(scores + query * BLOCK_TOKENS, visible(work, begin + query / work->group, block),
                     &work->states[first + query], sums + (size_t)query * d, d);
    }
    /*
     * What all see together, then what each sees beyond. Never what a row does not see: its weight there is 0, but the
     * page may hold an infinity or NaN of a sequence that had it before.
     */
    kernel->multiply(scores, BLOCK_TOKENS, work->values, d, sums, d, queries, d, least, false);
    for (int32_t row = begin; row < end; row++) {
        const int beyond = visible(work, row, block) - least;
        if (beyond == 0) continue;
        const size_t query = (size_t)(row - begin) * work->group;
        kernel->multiply(scores + query * BLOCK_TOKENS + least, BLOCK_TOKENS, work->values + (size_t)least * d, d,
                         sums + query * d, d, work->group, d, beyond, false);
    }
}

/*
 * Rows that see equally much of the block go as one band, whatever their number; where they differ, near the diagonal
 * of a prompt, bands are just wide enough for `multiply` to be worth it.
 */
static void attend_block(const struct tile_work *work, const struct span *span, int32_t block) {
    for (int32_t begin = span->row_begin, end; begin < span->row_end; begin = end) {
        int least = visible(work, begin, block), most = least;
        for (end = begin + 1; end < span->row_end; end++) {
            const int seen = visible(work, end, block);
            if ((end - begin) * work->group >= MULTIPLY_ROWS && (seen != least || seen != most)) break;
            if (seen < least) least = seen;
            if (seen > most) most = seen;
        }
        attend_band(work, begin, end, block, least, most);
    }
}

bool attend_tile(const struct page_memory *memory, const struct kernel *kernel, const struct step_plan *plan,
                 const struct tile *tile, int layer, int kv_head, const struct quire_queries *queries,
                 struct workspace *workspace) {
    struct tile_work work = {
        .memory = memory,
        .kernel = kernel,
        .plan = plan,
        .layer = layer,
        .kv_head = kv_head,
        .group = queries->heads / memory->kv_heads,
        .head_size = memory->head_size,
        .first_row = tile->row_begin,
    };
    if (!lay_out(&work, (size_t)(tile->row_end - tile->row_begin) * work.group, workspace)) return false;

    load_queries(&work, tile, queries);
    for (int32_t i = tile->span_begin; i < tile->span_end; i++) {
        const struct span *span = &plan->spans[i];
        for (int32_t block = span->block_begin; block < span->block_end; block++) {
            load_block(&work, span, block);
            attend_block(&work, span, block);
        }
    }
    store_outputs(&work, tile, queries);
    return true;
}
