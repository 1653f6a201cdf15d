/* For threads. */
#define _POSIX_C_SOURCE 200809L

#include "crowd.h"
#include "nodes.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 4, MAX_PADDING = 48 };

static const float unset = -12345.5f;

struct step_row {
    int sequence, position;
};

/* An open handle with what a step on it needs. */
struct stage {
    const struct scenario *scenario;
    struct quire_attention *handle;
    const char *level;
    int *tables[MAX_SEQUENCES]; /* pages of each sequence */
    int hole;                   /* a page full of garbage, -1: tables have no holes */

    /* The step at hand, and how its arrays lie. */
    const struct step_row *rows;
    int row_count;
    int threads;
    int layer;
    size_t key_stride, query_row_stride, query_head_stride; /* in floats */
    float *keys, *values, *queries, *outputs;
};

static void fail(const struct stage *stage, const char *what, const char *error) {
    fprintf(stderr, "seed %llu, %s: %s: %s\n", (unsigned long long)stage->scenario->seed, stage->level, what, error);
    exit(1);
}

static void open_stage(struct stage *stage, const struct scenario *scenario, const char *level, int pages) {
    *stage = (struct stage){.scenario = scenario, .level = level, .hole = -1};
    struct quire_shape shape = scenario->shape;
    shape.pages = pages;
    char error[QUIRE_ERROR_BYTES];
    stage->handle = quire_open(&shape, level, &node_codes, error);
    if (stage->handle == NULL) fail(stage, "quire_open", error);
    for (int i = 0; i < scenario->sequence_count; i++) {
        stage->tables[i] = must_allocate(MAX_LENGTH / PAGE_TOKENS, sizeof(int));
    }
}

static void close_stage(struct stage *stage) {
    for (int i = 0; i < stage->scenario->sequence_count; i++) free(stage->tables[i]);
    quire_close(stage->handle);
}

/* Threads */

struct task {
    struct stage *stage;
    void (*work)(struct stage *stage, int thread);
    int thread;
};

static void *run_task(void *argument) {
    const struct task *task = argument;
    task->work(task->stage, task->thread);
    return NULL;
}

/* Runs `work` on all of the step's threads and waits for them. */
static void on_threads(struct stage *stage, void (*work)(struct stage *stage, int thread)) {
    pthread_t threads[MAX_THREADS];
    struct task tasks[MAX_THREADS];
    for (int i = stage->threads - 1; i >= 0; i--) {
        tasks[i] = (struct task){stage, work, i};
        if (i == 0) run_task(&tasks[i]);
        else if (pthread_create(&threads[i], NULL, run_task, &tasks[i]) != 0) fail(stage, "threads", "none left");
    }
    for (int i = 1; i < stage->threads; i++) pthread_join(threads[i], NULL);
}

static void write_task(struct stage *stage, int thread) {
    const size_t layer = (size_t)stage->row_count * stage->key_stride, stride = stage->key_stride * sizeof(float);
    for (int i = 0; i < stage->scenario->shape.layers; i++) {
        quire_write_rows(stage->handle, i, 0, stage->keys + (size_t)i * layer, stride, thread, stage->threads);
        quire_write_rows(stage->handle, i, 1, stage->values + (size_t)i * layer, stride, thread, stage->threads);
    }
}

static void attend_task(struct stage *stage, int thread) {
    const struct scenario *scenario = stage->scenario;
    const struct quire_queries queries = {
        .query = stage->queries,
        .query_row_stride = stage->query_row_stride * sizeof(float),
        .query_head_stride = stage->query_head_stride * sizeof(float),
        .output = stage->outputs,
        .output_row_stride = stage->query_row_stride * sizeof(float),
        .output_head_stride = stage->query_head_stride * sizeof(float),
        .heads = scenario->heads,
        .scale = scenario->scale,
        .softcap = scenario->softcap,
        .max_bias = scenario->max_bias,
        .sinks = scenario->sinks,
    };
    quire_attend(stage->handle, stage->layer, &queries, thread);
}

/* Steps */

/* Whether no layer of this step sees anything of a page of the sequence. */
static bool is_out_of_sight(const struct stage *stage, int first_position, int page) {
    for (int layer = 0; layer < stage->scenario->shape.layers; layer++) {
        if (scenario_first_seen(stage->scenario, layer, first_position) < (page + 1) * PAGE_TOKENS) return false;
    }
    return true;
}

/* Tables are apart by entries that no page has, and end where the sequence's last row of the step does. */
static void announce_rows(struct stage *stage) {
    const size_t rows = (size_t)stage->row_count;
    int32_t *positions = must_allocate(rows, sizeof *positions), *slots = must_allocate(rows, sizeof *slots);
    int32_t *offsets = must_allocate(rows, sizeof *offsets), *tables = NULL;
    int32_t entries = 0;
    for (int begin = 0, end; begin < stage->row_count; begin = end) {
        const int sequence = stage->rows[begin].sequence, *pages = stage->tables[sequence];
        for (end = begin; end < stage->row_count && stage->rows[end].sequence == sequence; end++) {
            const int position = stage->rows[end].position;
            positions[end] = position;
            slots[end] = pages[position / PAGE_TOKENS] * PAGE_TOKENS + position % PAGE_TOKENS;
            offsets[end] = entries + 1;
        }
        const int count = positions[end - 1] / PAGE_TOKENS + 1;
        tables = realloc(tables, (size_t)(entries + count + 1) * sizeof *tables);
        if (tables == NULL) fail(stage, "tables", "no memory");
        tables[entries++] = -1;
        for (int page = 0; page < count; page++) {
            const bool hole = stage->hole >= 0 && is_out_of_sight(stage, positions[begin], page);
            tables[entries++] = hole ? stage->hole : pages[page];
        }
    }
    char error[QUIRE_ERROR_BYTES];
    if (quire_begin_step(stage->handle, stage->row_count, positions, slots, offsets, tables, entries, error) != 0) {
        fail(stage, "quire_begin_step", error);
    }
    free(positions);
    free(slots);
    free(offsets);
    free(tables);
}

static void write_keys_and_values(struct stage *stage) {
    const struct scenario *scenario = stage->scenario;
    const size_t width = key_width(scenario), rows = (size_t)stage->row_count;
    stage->keys = must_allocate(scenario->shape.layers * rows * stage->key_stride, sizeof(float));
    stage->values = must_allocate(scenario->shape.layers * rows * stage->key_stride, sizeof(float));
    for (int layer = 0; layer < scenario->shape.layers; layer++) {
        for (size_t i = 0; i < rows; i++) {
            const struct step_row row = stage->rows[i];
            const int token = scenario->sequences[row.sequence].tokens[row.position];
            const size_t from = ((size_t)layer * scenario->tokens + token) * width;
            const size_t to = ((size_t)layer * rows + i) * stage->key_stride;
            memcpy(stage->keys + to, scenario->keys + from, width * sizeof(float));
            memcpy(stage->values + to, scenario->values + from, width * sizeof(float));
        }
    }
    on_threads(stage, write_task);
    free(stage->keys);
    free(stage->values);
}

static size_t query_at(const struct stage *stage, size_t row, int head) {
    return row * stage->query_row_stride + (size_t)head * stage->query_head_stride;
}

/* Attention of the current layer: queries in, `outputs` of the scenario out, and nothing else touched. */
static void attend_layer(struct stage *stage, size_t floats, float *outputs) {
    const struct scenario *scenario = stage->scenario;
    const size_t head_size = (size_t)scenario->shape.head_size, bytes = head_size * sizeof(float);
    for (size_t i = 0; i < floats; i++) stage->queries[i] = NAN;
    for (size_t i = 0; i < floats; i++) stage->outputs[i] = unset;
    for (int i = 0; i < stage->row_count; i++) {
        const struct step_row row = stage->rows[i];
        const int token = scenario->sequences[row.sequence].tokens[row.position];
        const size_t query = (size_t)stage->layer * scenario->tokens + token;
        const float *from = scenario->queries + query * query_width(scenario);
        for (int head = 0; head < scenario->heads; head++) {
            memcpy(stage->queries + query_at(stage, i, head), from + head * head_size, bytes);
        }
    }
    on_threads(stage, attend_task);
    const char *error = quire_take_error(stage->handle);
    if (error != NULL) fail(stage, "quire_attend", error);

    for (int i = 0; i < stage->row_count; i++) {
        const struct sequence *sequence = &scenario->sequences[stage->rows[i].sequence];
        const size_t row = (size_t)(sequence->first_row + stage->rows[i].position - sequence->begin);
        float *to = outputs + (size_t)stage->layer * layer_outputs(scenario) + row * query_width(scenario);
        for (int head = 0; head < scenario->heads; head++) {
            float *from = stage->outputs + query_at(stage, i, head);
            memcpy(to + head * head_size, from, bytes);
            for (size_t d = 0; d < head_size; d++) from[d] = unset;
        }
    }
    for (size_t i = 0; i < floats; i++) {
        if (stage->outputs[i] != unset) fail(stage, "quire_attend", "wrote outside of its outputs");
    }
}

/*
 * All layers once more, where only some rows have outputs: these have the same bits, and so have all in all layers but the last
 * one, where the rest are the same or zeros.
 */
static void attend_for_some(struct stage *stage, size_t floats, const float *expected, struct rng *rng) {
    const struct scenario *scenario = stage->scenario;
    const size_t width = query_width(scenario);
    const int layers = scenario->shape.layers;
    int8_t *has_output = must_allocate((size_t)stage->row_count, sizeof *has_output);
    const double share = rng_chance(rng, 0.5) ? 0.02 : 0.5;
    for (int i = 0; i < stage->row_count; i++) has_output[i] = rng_chance(rng, share);
    float *outputs = must_allocate((size_t)layers * layer_outputs(scenario), sizeof *outputs);
    announce_rows(stage);
    quire_expect_outputs(stage->handle, has_output);
    for (stage->layer = 0; stage->layer < layers; stage->layer++) {
        attend_layer(stage, floats, outputs);
        for (int i = 0; i < stage->row_count; i++) {
            const struct sequence *sequence = &scenario->sequences[stage->rows[i].sequence];
            const size_t row = (size_t)(sequence->first_row + stage->rows[i].position - sequence->begin);
            const size_t at = (size_t)stage->layer * layer_outputs(scenario) + row * width;
            if (memcmp(outputs + at, expected + at, width * sizeof *outputs) == 0) continue;
            bool zeros = true;
            for (size_t d = 0; d < width; d++) zeros = zeros && outputs[at + d] == 0;
            if (stage->layer == layers - 1 && !has_output[i] && zeros) continue;
            fail(stage, "quire_expect_outputs", "a row's result is another one");
        }
    }
    free(has_output);
    free(outputs);
}

/* Announces rows and writes their keys and values. */
static void write_step(struct stage *stage, const struct step_row *rows, int row_count, int threads, struct rng *rng) {
    stage->rows = rows;
    stage->row_count = row_count;
    stage->threads = threads;
    stage->key_stride = key_width(stage->scenario) + (size_t)rng_int(rng, 0, MAX_PADDING);
    announce_rows(stage);
    write_keys_and_values(stage);
}

/* A whole step. Queries and outputs lie as rows of heads or as heads of rows, with gaps. */
static void run_step(struct stage *stage, const struct step_row *rows, int row_count, int threads, struct rng *rng,
                     float *outputs) {
    const struct scenario *scenario = stage->scenario;
    write_step(stage, rows, row_count, threads, rng);
    const size_t inner = (size_t)scenario->shape.head_size + (size_t)rng_int(rng, 0, MAX_PADDING);
    const bool rows_of_heads = rng_chance(rng, 0.5);
    stage->query_row_stride = rows_of_heads ? inner * (size_t)scenario->heads : inner;
    stage->query_head_stride = rows_of_heads ? inner : inner * (size_t)row_count;
    const size_t floats = inner * (size_t)scenario->heads * (size_t)row_count;
    stage->queries = must_allocate(floats, sizeof(float));
    stage->outputs = must_allocate(floats, sizeof(float));
    for (stage->layer = 0; stage->layer < scenario->shape.layers; stage->layer++) attend_layer(stage, floats, outputs);
    if (rng_chance(rng, 0.2)) attend_for_some(stage, floats, outputs, rng);
    free(stage->queries);
    free(stage->outputs);
}

/* Crowds */

struct crowd {
    struct stage stage;
    struct rng rng;
    int *free_pages, free_count;
    int done[MAX_SEQUENCES];   /* positions of each sequence that have been computed */
    int placed[MAX_SEQUENCES]; /* pages that it has */
    bool begun[MAX_SEQUENCES];
};

/* Writes numbers into every slot that spoil whatever they touch. */
static void fill_with_garbage(struct stage *stage, int pages, struct rng *rng) {
    const struct scenario *scenario = stage->scenario;
    const int rows = pages * PAGE_TOKENS;
    int32_t *positions = must_allocate((size_t)rows, sizeof *positions);
    int32_t *offsets = must_allocate((size_t)rows, sizeof *offsets);
    int32_t *table = must_allocate((size_t)pages, sizeof *table);
    for (int i = 0; i < rows; i++) positions[i] = i;
    for (int i = 0; i < pages; i++) table[i] = i;
    char error[QUIRE_ERROR_BYTES];
    if (quire_begin_step(stage->handle, rows, positions, positions, offsets, table, pages, error) != 0) {
        fail(stage, "quire_begin_step", error);
    }
    stage->row_count = rows;
    stage->threads = 1;
    stage->key_stride = key_width(scenario);
    const size_t floats = (size_t)scenario->shape.layers * (size_t)rows * stage->key_stride;
    float *garbage = must_allocate(floats, sizeof *garbage);
    const float kinds[] = {NAN, INFINITY, -INFINITY, 1e30f, -60000};
    for (size_t i = 0; i < floats; i++) garbage[i] = kinds[rng_int(rng, 0, 4)];
    stage->keys = stage->values = garbage;
    write_task(stage, 0);
    free(garbage);
    free(positions);
    free(offsets);
    free(table);
}

static int take_page(struct crowd *crowd) {
    if (crowd->free_count == 0) fail(&crowd->stage, "test", "the pool is too small");
    return crowd->free_pages[--crowd->free_count];
}

/* Adds the sequence's next `count` positions to the step, in pages that it gets for them. */
static int add_chunk(struct crowd *crowd, int index, int count, struct step_row *rows) {
    for (int i = 0; i < count; i++) {
        const int position = crowd->done[index]++;
        if (position / PAGE_TOKENS == crowd->placed[index]) {
            crowd->stage.tables[index][crowd->placed[index]++] = take_page(crowd);
        }
        rows[i] = (struct step_row){index, position};
    }
    return count;
}

/* Writes the positions that are there without having been computed. */
static void write_context(struct crowd *crowd, int index) {
    struct stage *stage = &crowd->stage;
    const struct sequence *sequence = &stage->scenario->sequences[index];
    const int count = sequence->begin - sequence->shared;
    if (count == 0) return;
    struct step_row *rows = must_allocate((size_t)count, sizeof *rows);
    add_chunk(crowd, index, count, rows);
    write_step(stage, rows, count, 1, &crowd->rng);
    free(rows);
}

/* Shares the parent's full pages and copies the one that both go on in. */
static void begin_sequence(struct crowd *crowd, int index) {
    const struct sequence *sequence = &crowd->stage.scenario->sequences[index];
    const int full = sequence->shared / PAGE_TOKENS;
    int *table = crowd->stage.tables[index];
    crowd->begun[index] = true;
    crowd->done[index] = sequence->shared;
    crowd->placed[index] = full;
    if (sequence->shared > 0) {
        const int *parent = crowd->stage.tables[sequence->parent];
        memcpy(table, parent, (size_t)full * sizeof *table);
        if (sequence->shared % PAGE_TOKENS != 0) {
            table[crowd->placed[index]++] = take_page(crowd);
            if (quire_copy_page(crowd->stage.handle, parent[full], table[full]) != 0) {
                fail(&crowd->stage, "quire_copy_page", "no such page");
            }
        }
    }
    write_context(crowd, index);
}

static bool can_begin(const struct crowd *crowd, int index) {
    const struct sequence *sequence = &crowd->stage.scenario->sequences[index];
    if (sequence->parent < 0 || sequence->shared == 0) return true;
    return crowd->begun[sequence->parent] && crowd->done[sequence->parent] >= sequence->shared;
}

/* Draws which sequences get on in this step, and how far. */
static int draw_step(struct crowd *crowd, int chunk, struct step_row *rows) {
    const struct scenario *scenario = crowd->stage.scenario;
    struct rng *rng = &crowd->rng;
    int order[MAX_SEQUENCES], count = 0;
    for (int i = 0; i < scenario->sequence_count; i++) {
        order[i] = i;
        /* Before any chunk is added: what others share has been written in an earlier step. */
        if (!crowd->begun[i] && can_begin(crowd, i)) begin_sequence(crowd, i);
    }
    rng_shuffle(rng, order, scenario->sequence_count);
    const double busy = rng_chance(rng, 0.5) ? 1 : rng_unit(rng);
    for (int i = 0; i < scenario->sequence_count; i++) {
        const int index = order[i];
        if (!crowd->begun[index] || !rng_chance(rng, busy)) continue;
        const int left = scenario->sequences[index].length - crowd->done[index];
        const int wanted = rng_chance(rng, 0.3) ? 1 : rng_int(rng, 1, chunk);
        count += add_chunk(crowd, index, wanted < left ? wanted : left, rows + count);
    }
    return count;
}

static int pages_for(const struct scenario *scenario) {
    int pages = 1; /* for the hole */
    for (int i = 0; i < scenario->sequence_count; i++) {
        const struct sequence *sequence = &scenario->sequences[i];
        pages += (sequence->length + PAGE_TOKENS - 1) / PAGE_TOKENS - sequence->shared / PAGE_TOKENS;
    }
    return pages;
}

void run_crowd(const struct scenario *scenario, const char *level, uint64_t seed, float *outputs) {
    struct crowd crowd = {.rng = {seed}};
    const int needed = pages_for(scenario), pages = needed + rng_int(&crowd.rng, 0, needed);
    open_stage(&crowd.stage, scenario, level, pages);
    fill_with_garbage(&crowd.stage, pages, &crowd.rng);
    crowd.free_pages = must_allocate((size_t)pages, sizeof *crowd.free_pages);
    for (int i = 0; i < pages; i++) crowd.free_pages[crowd.free_count++] = i;
    rng_shuffle(&crowd.rng, crowd.free_pages, pages);
    crowd.stage.hole = take_page(&crowd);

    const int chunk = (const int[]){1, 5, 33, 200, MAX_LENGTH}[rng_int(&crowd.rng, 0, 4)];
    struct step_row *rows = must_allocate((size_t)scenario->rows, sizeof *rows);
    for (int computed = 0; computed < scenario->rows;) {
        const int count = draw_step(&crowd, chunk, rows);
        if (count == 0) continue;
        run_step(&crowd.stage, rows, count, rng_int(&crowd.rng, 1, MAX_THREADS), &crowd.rng, outputs);
        computed += count;
    }
    free(rows);
    free(crowd.free_pages);
    close_stage(&crowd.stage);
}

void run_alone(const struct scenario *scenario, const char *level, int sequence, int position, float *outputs) {
    struct stage stage;
    struct rng rng = {1};
    const int pages = position / PAGE_TOKENS + 1;
    open_stage(&stage, scenario, level, pages);
    for (int page = 0; page < pages; page++) stage.tables[sequence][page] = page;
    struct step_row *rows = must_allocate((size_t)position + 1, sizeof *rows);
    for (int i = 0; i <= position; i++) rows[i] = (struct step_row){sequence, i};

    write_step(&stage, rows, position + 1, 1, &rng);
    run_step(&stage, rows + position, 1, 1, &rng, outputs);
    free(rows);
    close_stage(&stage);
}
