#include "attention.h"

#include "aligned_memory.h"

#include <math.h>
#include <string.h>

/* An item at work: query `row * group + head` is row `row` of its tile and the head-th of the kv head's query heads. */
struct item_work {
    const struct attention_job *job;
    const struct item *item;
    const struct tile *tile;
    int kv_head;
    int group; /* query heads of one kv head */
    int head_size;
    int query_count;

    float *queries;               /* [query][d], scaled; not of I16 pages */
    float *scores;                /* [query][64], of the current block; then its weights */
    float *sums;                  /* [query][d], weighted sums of values, of the current split */
    struct softmax_state *states; /* [query], of the current split */
    float *all_sums;              /* the same of all splits before */
    struct softmax_state *all_states;
    float *keys;                  /* [d][64], of the current block; not of I16 pages */
    float *values;                /* [64][d], likewise */

    /* Of I16 pages only: */
    bool shorts;
    int first_query;        /* of those that read the current block */
    int16_t *short_queries; /* [query][d] */
    float *query_units;     /* [query], with the scale */
    int16_t *weights;       /* [query][64], of the current block */
    float *weight_units;    /* [query] */
    float *value_units;     /* [64], of the current block */

    const char *pages[BLOCK_PAGES]; /* of the current block */
    const char *next[BLOCK_PAGES];  /* of the one after it */
    bool direct;                    /* the kernel reads the pages themselves, not keys and values; not of I16 pages */
};

/* The positions of a block that a row sees, 0 to 64; none if end <= begin. */
struct seen {
    int begin, end;
};

/* Scores are logarithms to base 2, as powers of 2 are what a machine can compute; so are sinks, caps and slopes. */
static const float log2_e = 1.44269504f;

enum { STATE_FLOATS = sizeof(struct softmax_state) / sizeof(float) };

void workspace_free(struct workspace *workspace) {
    aligned_memory_free(workspace->memory);
    *workspace = (struct workspace){0};
}

/* Makes room for at least `floats` floats, contents lost. */
static bool grow(float **memory, size_t *capacity, size_t floats) {
    if (floats <= *capacity) return true;
    aligned_memory_free(*memory);
    *capacity = 0;
    *memory = aligned_memory_get(64, floats * sizeof(float));
    if (*memory == NULL) return false;
    *capacity = floats;
    return true;
}

/* Points the arrays of `work` into the workspace. */
static bool lay_out(struct item_work *work, struct workspace *workspace) {
    const size_t n = (size_t)work->query_count, d = (size_t)work->head_size;
    const size_t common = n * (2 * STATE_FLOATS + BLOCK_TOKENS + 2 * d);
    const size_t of_floats = n * d + 2 * BLOCK_TOKENS * d;
    const size_t of_shorts = n * (d / 2 + BLOCK_TOKENS / 2 + 2) + BLOCK_TOKENS;
    if (!grow(&workspace->memory, &workspace->floats, common + (work->shorts ? of_shorts : of_floats))) return false;
    work->states = (struct softmax_state *)workspace->memory;
    work->all_states = work->states + n;
    work->scores = (float *)(work->all_states + n);
    work->sums = work->scores + n * BLOCK_TOKENS;
    work->all_sums = work->sums + n * d;
    float *rest = work->all_sums + n * d;
    if (work->shorts) {
        work->value_units = rest;
        work->weights = (int16_t *)(work->value_units + BLOCK_TOKENS);
        work->short_queries = work->weights + n * BLOCK_TOKENS;
        work->query_units = (float *)(work->short_queries + n * d);
        work->weight_units = work->query_units + n;
    } else {
        work->queries = rest;
        work->keys = work->queries + n * d;
        work->values = work->keys + BLOCK_TOKENS * d;
    }
    return true;
}

bool split_results_reserve(struct split_results *results, const struct reading *reading,
                           const struct page_memory *memory, int heads) {
    const size_t counters = (size_t)reading->cut_count * memory->kv_heads;
    if (counters > results->finished_capacity) {
        free(results->finished);
        results->finished_capacity = 0;
        results->finished = malloc(counters * sizeof *results->finished);
        if (results->finished == NULL) return false;
        results->finished_capacity = counters;
        for (size_t i = 0; i < counters; i++) atomic_init(&results->finished[i], 0);
    }
    return grow(&results->memory, &results->floats,
                (size_t)reading->result_count * heads * (STATE_FLOATS + memory->head_size));
}

void split_results_free(struct split_results *results) {
    aligned_memory_free(results->memory);
    free(results->finished);
}

static const float *query_at(const struct quire_queries *queries, int32_t row, int head) {
    return (const float *)((const char *)queries->query + (size_t)row * queries->query_row_stride +
                           (size_t)head * queries->query_head_stride);
}

static float *output_at(const struct quire_queries *queries, int32_t row, int head) {
    return (float *)((char *)queries->output + (size_t)row * queries->output_row_stride +
                     (size_t)head * queries->output_head_stride);
}

static void load_queries(const struct item_work *work) {
    const struct quire_queries *queries = work->job->queries;
    const struct attention_job *job = work->job;
    const float scale = queries->scale * log2_e;
    float room[MAX_HEAD_SIZE];
    size_t query = 0;
    for (int32_t i = work->tile->row_begin; i < work->tile->row_end; i++) {
        for (int head = 0; head < work->group; head++, query++) {
            const int32_t row = job->plan->rows[i].row;
            const float *source = rotated(job->query_rotation, job->kernel, row,
                                          query_at(queries, row, work->kv_head * work->group + head), work->head_size, room);
            if (work->shorts) {
                int16_t *target = work->short_queries + query * work->head_size;
                const float unit =
                    job->kernel->round_to_shorts(source, target, work->head_size, VECTOR_LARGEST, VECTOR_NORM);
                work->query_units[query] = unit * scale;
                continue;
            }
            float *target = work->queries + query * work->head_size;
            for (int d = 0; d < work->head_size; d++) target[d] = source[d] * scale;
        }
    }
}

static const struct softmax_state empty_state = {.base = -INFINITY};

static bool is_empty(const struct softmax_state *state) { return state->base == -INFINITY; }

/* Adds a split to those before it. The first one is copied, so that rows of one split have its very bits. */
static void add_split(const struct item_work *work, int query, const struct softmax_state *state, const float *sums) {
    float *all_sums = work->all_sums + (size_t)query * work->head_size;
    if (is_empty(state)) return;
    if (is_empty(&work->all_states[query])) {
        work->all_states[query] = *state;
        memcpy(all_sums, sums, work->head_size * sizeof *sums);
    } else {
        work->job->kernel->merge(&work->all_states[query], all_sums, state, sums, work->head_size);
    }
}

/* Ends the current split of queries [begin, end). */
static void close_split(struct item_work *work, int begin, int end) {
    const size_t row_bytes = (size_t)work->head_size * sizeof *work->sums;
    for (int i = begin; i < end; i++) {
        if (is_empty(&work->states[i])) continue;
        float *sums = work->sums + (size_t)i * work->head_size;
        add_split(work, i, &work->states[i], sums);
        work->states[i] = empty_state;
        memset(sums, 0, row_bytes);
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

/* What a query's sums must be multiplied with. A sink is a score without a value. */
static float share_of(const struct softmax_state *state, const float *sink) {
    if (sink == NULL) return 1.0f / total_of(state);
    const float score = *sink * log2_e, maximum = fmaxf(state->base, score);
    const float factor = exp2f(state->base - maximum);
    return factor / (total_of(state) * factor + exp2f(score - maximum));
}

static void store_outputs(const struct item_work *work) {
    const struct quire_queries *queries = work->job->queries;
    size_t query = 0;
    for (int32_t i = work->tile->row_begin; i < work->tile->row_end; i++) {
        for (int head = work->kv_head * work->group; head < (work->kv_head + 1) * work->group; head++, query++) {
            const float *sink = queries->sinks == NULL ? NULL : queries->sinks + head;
            const float share = share_of(&work->all_states[query], sink);
            const float *sums = work->all_sums + query * work->head_size;
            float *target = output_at(queries, work->job->plan->rows[i].row, head);
            for (int d = 0; d < work->head_size; d++) target[d] = sums[d] * share;
        }
    }
}

/* Writes the keys and values of the item's rows, as far as they lie in its blocks, for its kv head. */
static void write_fresh_rows(const struct item_work *work) {
    const struct attention_job *job = work->job;
    const struct fresh_rows *fresh = job->fresh;
    const size_t head = (size_t)work->kv_head * work->head_size;
    for (int32_t i = work->tile->row_begin; i < work->tile->row_end; i++) {
        const int32_t row = job->plan->rows[i].row, block = job->plan->rows[i].position / BLOCK_TOKENS;
        if (block < work->item->block_begin || block >= work->item->block_end) continue;
        const float *key = (const float *)((const char *)fresh->keys + (size_t)row * fresh->key_stride) + head;
        const float *value = (const float *)((const char *)fresh->values + (size_t)row * fresh->value_stride) + head;
        const int slot = job->plan->slots[row];
        float room[MAX_HEAD_SIZE];
        page_memory_write_key(job->memory, job->kernel, job->layer, slot, work->kv_head,
                              rotated(job->key_rotation, job->kernel, row, key, work->head_size, room));
        page_memory_write_value(job->memory, job->kernel, job->layer, slot, work->kv_head, value);
    }
}

/* Fills `pages` with the addresses of a block's pages. Entries behind the last seen page repeat it. */
static void find_pages(const struct attention_job *job, const struct span *span, int32_t block, int kv_head,
                       const char **pages) {
    const int32_t *table = job->plan->tables + span->table;
    const int32_t last = span->last_position / PAGE_TOKENS;
    for (int32_t i = 0; i < BLOCK_PAGES; i++) {
        const int32_t page = block * BLOCK_PAGES + i;
        pages[i] = page_memory_at(job->memory, job->layer, table[page < last ? page : last], kv_head);
    }
}

static int32_t later(int32_t a, int32_t b) { return a > b ? a : b; }
static int32_t sooner(int32_t a, int32_t b) { return a < b ? a : b; }

/* The pages that an item reads first; false if it reads none. */
static bool find_first_pages(const struct attention_job *job, int index, const char **pages) {
    const int heads = job->memory->kv_heads;
    const struct item *item = &job->reading->items[index / heads];
    for (int32_t i = item->span_begin; i < item->span_end; i++) {
        const struct span *span = &job->reading->spans[i];
        const int32_t block = later(span->block_begin, item->block_begin);
        if (block >= sooner(span->block_end, item->block_end)) continue;
        find_pages(job, span, block, index % heads, pages);
        return true;
    }
    return false;
}

/*
 * The pages that will be asked for after this block: of the same span, of the item's next one, or of an item that this
 * thread may take next. A guess, for prefetching.
 */
static void find_next_pages(struct item_work *work, int32_t span_index, int32_t block) {
    const struct attention_job *job = work->job;
    const struct item *item = work->item;
    const struct span *span = &job->reading->spans[span_index];
    if (block + 1 < sooner(span->block_end, item->block_end)) {
        find_pages(job, span, block + 1, work->kv_head, work->next);
        return;
    }
    for (int32_t i = span_index + 1; i < item->span_end; i++) {
        const struct span *other = &job->reading->spans[i];
        const int32_t first = later(other->block_begin, item->block_begin);
        if (first >= sooner(other->block_end, item->block_end)) continue;
        find_pages(job, other, first, work->kv_head, work->next);
        return;
    }
    const int upcoming = atomic_load_explicit(job->next_item, memory_order_relaxed);
    if (upcoming < job->reading->item_count * job->memory->kv_heads && find_first_pages(job, upcoming, work->next)) {
        return;
    }
    memcpy(work->next, work->pages, sizeof work->next);
}

static const struct page_format *format_of(const struct attention_job *job) {
    return &job->kernel->formats[job->memory->type];
}

/* Keys and values of the block's first `pages` pages as floats, while the next ones are on their way. */
static void widen_block(const struct item_work *work, int pages) {
    const struct page_format *format = format_of(work->job);
    const size_t bytes = 2 * page_half_bytes(work->job->memory->type, work->head_size);
    for (int i = 0; i < pages; i++) {
        for (size_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(work->next[i] + byte, 0, 2);
        format->widen_keys(work->pages[i], work->keys + i * PAGE_TOKENS, work->head_size);
        format->widen_values(work->pages[i], work->values + (size_t)i * PAGE_TOKENS * work->head_size, work->head_size);
    }
}

static void load_value_units(const struct item_work *work) {
    const size_t half = page_half_bytes(QUIRE_PAGES_I16, work->head_size);
    for (int i = 0; i < BLOCK_PAGES; i++) {
        memcpy(work->value_units + i * PAGE_TOKENS, page_units(work->pages[i] + half, work->head_size),
               PAGE_TOKENS * sizeof(float));
    }
}

static struct seen seen_of(const struct item_work *work, int32_t row, int32_t block) {
    const int32_t position = work->job->plan->rows[row].position, start = block * BLOCK_TOKENS;
    const int32_t first = reading_first(work->job->reading, position);
    return (struct seen){later(first - start, 0), sooner(position + 1 - start, BLOCK_TOKENS)};
}

/* ggml's slopes: powers of two for as many heads as a power of two has, and in between for the rest. */
static float alibi_slope(const struct quire_queries *queries, int head) {
    int whole = 1;
    while (2 * whole <= queries->heads) whole *= 2;
    if (head < whole) return powf(2.0f, -queries->max_bias * (float)(head + 1) / (float)whole);
    return powf(2.0f, -queries->max_bias / 2 * (float)(2 * (head - whole) + 1) / (float)whole);
}

/* The pages that a kernel for I16 pages is to fetch meanwhile: those of the next block, once, with the first query. */
static const char *const *short_next(const struct item_work *work, int first) {
    return first == work->first_query ? work->next : NULL;
}

static void score(const struct item_work *work, int first, int queries, struct seen seen) {
    const int page_begin = seen.begin / PAGE_TOKENS, page_end = (seen.end + PAGE_TOKENS - 1) / PAGE_TOKENS;
    float *scores = work->scores + (size_t)first * BLOCK_TOKENS;
    if (work->shorts) {
        work->job->kernel->score_shorts(work->pages, short_next(work, first), page_begin, page_end,
                                        work->short_queries + (size_t)first * work->head_size,
                                        work->query_units + first, queries, work->head_size, scores);
        return;
    }
    const float *rows = work->queries + (size_t)first * work->head_size;
    if (work->direct) {
        format_of(work->job)->score(work->pages, work->next, page_begin, page_end, rows, queries, work->head_size,
                                    scores);
        return;
    }
    const int column = page_begin * PAGE_TOKENS;
    work->job->kernel->multiply(rows, work->head_size, work->keys + column, BLOCK_TOKENS, scores + column, BLOCK_TOKENS,
                                queries, page_end * PAGE_TOKENS - column, work->head_size, true);
}

static void add_values(const struct item_work *work, int first, int queries, struct seen seen) {
    if (seen.begin >= seen.end) return;
    if (work->shorts) {
        work->job->kernel->sum_shorts(work->pages, short_next(work, first), seen.begin / PAGE_TOKENS,
                                      (seen.end + PAGE_TOKENS - 1) / PAGE_TOKENS,
                                      work->weights + (size_t)first * BLOCK_TOKENS, work->weight_units + first, queries,
                                      work->head_size, work->sums + (size_t)first * work->head_size);
        return;
    }
    const float *weights = work->scores + (size_t)first * BLOCK_TOKENS;
    float *sums = work->sums + (size_t)first * work->head_size;
    if (work->direct) {
        format_of(work->job)->sum(work->pages, work->next, seen.begin, seen.end, weights, queries, work->head_size,
                                  sums);
        return;
    }
    work->job->kernel->multiply(weights + seen.begin, BLOCK_TOKENS,
                                work->values + (size_t)seen.begin * work->head_size, work->head_size, sums,
                                work->head_size, queries, work->head_size, seen.end - seen.begin, false);
}

/* Rows [begin, end) of the plan, all of which see the same of the block; their queries begin at `first`. */
static void fold_rows(const struct item_work *work, int32_t begin, int32_t end, int first, int32_t block,
                      struct seen seen) {
    const struct quire_queries *queries = work->job->queries;
    const int count = (end - begin) * work->group;
    float *scores = work->scores + (size_t)first * BLOCK_TOKENS;
    if (queries->max_bias != 0) {
        for (int i = 0; i < count; i++) {
            const int32_t position = work->job->plan->rows[begin + i / work->group].position;
            const struct score_rule rule = {
                .softcap = queries->softcap * log2_e,
                .slope = log2_e * alibi_slope(queries, work->kv_head * work->group + (first + i) % work->group),
                .distance = (float)(block * BLOCK_TOKENS - position),
            };
            work->job->kernel->change_scores(scores + (size_t)i * BLOCK_TOKENS, 1, &rule);
        }
    } else if (queries->softcap != 0) {
        work->job->kernel->change_scores(scores, count, &(struct score_rule){.softcap = queries->softcap * log2_e});
    }
    struct softmax_state *states = work->states + first;
    float *sums = work->sums + (size_t)first * work->head_size;
    if (work->shorts) {
        work->job->kernel->fold_shorts(scores, work->value_units, count, seen.begin, seen.end, states, sums,
                                       work->head_size, work->weights + (size_t)first * BLOCK_TOKENS,
                                       work->weight_units + first);
    } else {
        work->job->kernel->fold(scores, count, seen.begin, seen.end, states, sums, work->head_size);
    }
}

/* One block for rows [begin, end), each of which sees some of it: `all` from where the first to where the last sees. */
static void attend_band(const struct item_work *work, int32_t begin, int32_t end, int32_t block, struct seen all,
                        struct seen common) {
    const int first = (begin - work->tile->row_begin) * work->group;
    const int queries = (end - begin) * work->group;
    score(work, first, queries, all);
    const bool same = common.begin == all.begin && common.end == all.end;
    if (same) {
        fold_rows(work, begin, end, first, block, all);
        add_values(work, first, queries, all);
        return;
    }
    for (int32_t row = begin; row < end; row++) {
        fold_rows(work, row, row + 1, first + (row - begin) * work->group, block, seen_of(work, row, block));
    }
    /* As integers, what a row does not see adds nothing, whatever the page holds there: its weight is 0. */
    if (work->shorts) {
        add_values(work, first, queries, all);
        return;
    }
    /*
     * What all see together, and around it what each sees beyond. Never what a row does not see: its weight there is 0,
     * but the page may hold an infinity or NaN of a sequence that had it before.
     */
    if (common.begin >= common.end) common = (struct seen){all.end, all.end};
    for (int32_t row = begin; row < end; row++) {
        const struct seen seen = seen_of(work, row, block);
        const int query = first + (row - begin) * work->group;
        add_values(work, query, work->group, (struct seen){seen.begin, sooner(seen.end, common.begin)});
    }
    add_values(work, first, queries, common);
    for (int32_t row = begin; row < end; row++) {
        const struct seen seen = seen_of(work, row, block);
        const int query = first + (row - begin) * work->group;
        add_values(work, query, work->group, (struct seen){later(seen.begin, common.end), seen.end});
    }
}

/*
 * Rows that see the same part of the block go as one band, whatever their number; where they differ, near the diagonal
 * of a prompt or of a window, bands are just wide enough for `multiply` to be worth it.
 */
static void attend_bands(const struct item_work *work, const struct span *span, int32_t block) {
    for (int32_t begin = span->row_begin, end; begin < span->row_end; begin = end) {
        end = begin + 1;
        struct seen all = seen_of(work, begin, block), common = all;
        if (all.begin >= all.end) continue;
        for (; end < span->row_end; end++) {
            const struct seen seen = seen_of(work, end, block);
            const bool same = seen.begin == all.begin && seen.end == all.end && seen.begin == common.begin &&
                              seen.end == common.end;
            if (seen.begin >= seen.end || (!same && (end - begin) * work->group >= MULTIPLY_ROWS)) break;
            all = (struct seen){sooner(all.begin, seen.begin), later(all.end, seen.end)};
            common = (struct seen){later(common.begin, seen.begin), sooner(common.end, seen.end)};
        }
        attend_band(work, begin, end, block, all, common);
    }
}

static void attend_block(struct item_work *work, int32_t span_index, int32_t block) {
    const struct span *span = &work->job->reading->spans[span_index];
    const int begin = (span->row_begin - work->tile->row_begin) * work->group;
    const int end = (span->row_end - work->tile->row_begin) * work->group;
    work->first_query = begin;
    if (block % SPLIT_BLOCKS == 0) close_split(work, begin, end);
    find_pages(work->job, span, block, work->kv_head, work->pages);
    find_next_pages(work, span_index, block);
    work->direct = !work->shorts && end - begin <= work->job->kernel->direct_queries;
    if (work->shorts) {
        load_value_units(work);
    } else if (!work->direct) {
        const int32_t left = span->last_position / PAGE_TOKENS + 1 - block * BLOCK_PAGES;
        widen_block(work, sooner(left, BLOCK_PAGES));
    }
    attend_bands(work, span, block);
}

/* Where the result of a query of a cut tile's part is kept: its state, and its sums behind that. */
static float *result_at(const struct item_work *work, int part, int query) {
    const struct item *item = work->item;
    const size_t rows = (size_t)(work->tile->row_end - work->tile->row_begin);
    const size_t slot = item->result + part * rows + (size_t)query / work->group;
    const size_t index = ((size_t)work->kv_head * work->job->reading->result_count + slot) * work->group +
                         (size_t)query % work->group;
    return work->job->results->memory + index * (STATE_FLOATS + work->head_size);
}

/* Hands in one split of a cut tile. Returns whether all are there now, and then what they add up to, in order. */
static bool join_splits(const struct item_work *work) {
    for (int query = 0; query < work->query_count; query++) {
        float *result = result_at(work, work->item->part, query);
        memcpy(result, &work->states[query], sizeof work->states[query]);
        memcpy(result + STATE_FLOATS, work->sums + (size_t)query * work->head_size, work->head_size * sizeof *result);
    }
    atomic_int *finished =
        &work->job->results->finished[(size_t)work->item->cut * work->job->memory->kv_heads + work->kv_head];
    if (atomic_fetch_add_explicit(finished, 1, memory_order_acq_rel) + 1 < work->item->parts) return false;
    atomic_store_explicit(finished, 0, memory_order_relaxed);
    for (int query = 0; query < work->query_count; query++) {
        for (int part = 0; part < work->item->parts; part++) {
            const float *result = result_at(work, part, query);
            add_split(work, query, (const struct softmax_state *)result, result + STATE_FLOATS);
        }
    }
    return true;
}

/* The results of rows that nobody looks at. */
static void store_zeros(const struct item_work *work) {
    for (int32_t i = work->tile->row_begin; i < work->tile->row_end; i++) {
        for (int head = work->kv_head * work->group; head < (work->kv_head + 1) * work->group; head++) {
            float *target = output_at(work->job->queries, work->job->plan->rows[i].row, head);
            memset(target, 0, (size_t)work->head_size * sizeof *target);
        }
    }
}

static bool attend_item(const struct attention_job *job, int index, struct workspace *workspace) {
    const struct page_memory *memory = job->memory;
    struct item_work work = {
        .job = job,
        .item = &job->reading->items[index / memory->kv_heads],
        .kv_head = index % memory->kv_heads,
        .group = job->queries->heads / memory->kv_heads,
        .head_size = memory->head_size,
        .shorts = memory->type == QUIRE_PAGES_I16,
    };
    work.tile = &job->plan->tiles[work.item->tile];
    work.query_count = (work.tile->row_end - work.tile->row_begin) * work.group;
    if (job->fresh != NULL) write_fresh_rows(&work);
    if (job->layer == memory->layers - 1 && !work.tile->has_outputs) {
        if (work.item->part == 0) store_zeros(&work);
        return true;
    }
    if (!lay_out(&work, workspace)) return false;

    load_queries(&work);
    for (int i = 0; i < work.query_count; i++) work.states[i] = work.all_states[i] = empty_state;
    memset(work.sums, 0, (size_t)work.query_count * work.head_size * sizeof *work.sums);
    memset(work.all_sums, 0, (size_t)work.query_count * work.head_size * sizeof *work.all_sums);
    for (int32_t i = work.item->span_begin; i < work.item->span_end; i++) {
        const struct span *span = &job->reading->spans[i];
        const int32_t end = sooner(span->block_end, work.item->block_end);
        for (int32_t block = later(span->block_begin, work.item->block_begin); block < end; block++) {
            attend_block(&work, i, block);
        }
    }
    if (work.item->parts == 1) close_split(&work, 0, work.query_count);
    else if (!join_splits(&work)) return true;
    store_outputs(&work);
    return true;
}

bool attend_items(const struct attention_job *job, struct workspace *workspace) {
    const int items = job->reading->item_count * job->memory->kv_heads;
    /* Taken one by one: who computes an item changes nothing about it, and no thread waits for a slower one. */
    for (int item; (item = atomic_fetch_add_explicit(job->next_item, 1, memory_order_relaxed)) < items;) {
        if (!attend_item(job, item, workspace)) return false;
    }
    return true;
}
