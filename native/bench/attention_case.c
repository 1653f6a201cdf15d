#include "attention_case.h"

#include "quire_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_TOKENS = 16,
    LAYERS = 2,
    MAX_SETS = 512,
    MIN_PASSES = 3,
    MAX_PASSES = 1 << 14,
};

/*
 * A model's weights pass through the caches between two uses of a page. Here it is other pages: the case exists in as
 * many copies, used in turn, as it takes for all their pages to be this large.
 */
static const double set_bytes = 256e6;
static const double min_seconds = 0.2;

struct bench {
    const struct attention_case *test;
    struct quire_attention *handle;
    int32_t sets, set_pages;
    int32_t *positions, *slots, *offsets, *tables;
    int32_t table_pages;
    struct quire_queries queries;
    int32_t layer;
};

static void refuse(const char *error) {
    fprintf(stderr, "%s\n", error);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) refuse("no memory for the benchmark");
    return memory;
}

static int32_t pages_for(int32_t positions) { return (positions + PAGE_TOKENS - 1) / PAGE_TOKENS; }

/* Pages of one copy of the case: what is shared once, the rest for each sequence. */
static int32_t case_pages(const struct attention_case *test) {
    return test->shared / PAGE_TOKENS + test->sequences * (pages_for(test->positions) - test->shared / PAGE_TOKENS);
}

/* Uniform in [-1, 1): a linear congruential generator will do, speed hardly depends on the numbers. */
static float *random_floats(size_t count) {
    float *numbers = allocate(count, sizeof *numbers);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        numbers[i] = (float)(state >> 8) / (float)(1 << 23) - 1;
    }
    return numbers;
}

/* Pages of a copy, spread over it so that neighbours in a sequence are none in memory. */
static int32_t page_at(const struct bench *bench, int32_t set, int32_t index) {
    int32_t stride = 7919;
    while (bench->set_pages % stride == 0) stride += 2;
    return set * bench->set_pages + (int32_t)((int64_t)index * stride % bench->set_pages);
}

static int32_t page_of(const struct bench *bench, int32_t set, int32_t sequence, int32_t page) {
    const int32_t shared = bench->test->shared / PAGE_TOKENS;
    const int32_t own = pages_for(bench->test->positions) - shared;
    return page_at(bench, set, page < shared ? page : shared + sequence * own + page - shared);
}

/* Announces the last `rows` positions of each sequence. */
static void begin_step(struct bench *bench, int32_t set, int32_t rows) {
    const struct attention_case *test = bench->test;
    const int32_t pages = bench->table_pages;
    int32_t row = 0;
    for (int32_t sequence = 0; sequence < test->sequences; sequence++) {
        int32_t *table = bench->tables + sequence * pages;
        for (int32_t page = 0; page < pages; page++) table[page] = page_of(bench, set, sequence, page);
        for (int32_t position = test->positions - rows; position < test->positions; position++, row++) {
            bench->positions[row] = position;
            bench->slots[row] = table[position / PAGE_TOKENS] * PAGE_TOKENS + position % PAGE_TOKENS;
            bench->offsets[row] = sequence * pages;
        }
    }
    char error[QUIRE_ERROR_BYTES];
    if (quire_begin_step(bench->handle, row, bench->positions, bench->slots, bench->offsets, bench->tables,
                         test->sequences * pages, error) != 0) {
        refuse(error);
    }
}

/* Fills the pages of one copy, and the others with the same. */
static void write_pages(struct bench *bench) {
    const struct attention_case *test = bench->test;
    const size_t width = (size_t)test->kv_heads * (size_t)test->head_size;
    float *numbers = random_floats((size_t)test->sequences * (size_t)test->positions * width);
    begin_step(bench, 0, test->positions);
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        quire_write_rows(bench->handle, layer, 0, numbers, width * sizeof(float), 0, 1);
        quire_write_rows(bench->handle, layer, 1, numbers, width * sizeof(float), 0, 1);
    }
    free(numbers);
    for (int32_t page = bench->set_pages; page < bench->sets * bench->set_pages; page++) {
        if (quire_copy_page(bench->handle, page % bench->set_pages, page) != 0) refuse("a page cannot be copied");
    }
}

static void attend(void *argument, int thread) {
    const struct bench *bench = argument;
    quire_attend(bench->handle, bench->layer, &bench->queries, thread);
}

/* Seconds of one layer, over a copy of the case that was not used for long. */
static double time_pass(struct bench *bench, struct team *team, int32_t set) {
    begin_step(bench, set, bench->test->rows);
    double seconds = 0;
    for (bench->layer = 0; bench->layer < LAYERS; bench->layer++) seconds += team_run(team, attend, bench);
    const char *error = quire_take_error(bench->handle);
    if (error != NULL) refuse(error);
    return seconds / LAYERS;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_seconds(struct bench *bench, struct team *team) {
    double *passes = allocate(MAX_PASSES, sizeof *passes), total = 0;
    int32_t count = 0;
    while (count < MAX_PASSES && (count < MIN_PASSES || total < min_seconds)) {
        passes[count] = time_pass(bench, team, count % bench->sets);
        total += passes[count++] * LAYERS;
    }
    qsort(passes, (size_t)count, sizeof *passes, ascending);
    const double median = passes[count / 2];
    free(passes);
    return median;
}

static struct quire_queries make_queries(const struct attention_case *test) {
    const size_t head_bytes = (size_t)test->head_size * sizeof(float);
    const size_t heads = (size_t)test->kv_heads * (size_t)test->group;
    const size_t rows = (size_t)test->sequences * (size_t)test->rows;
    return (struct quire_queries){
        .query = random_floats(rows * heads * (size_t)test->head_size),
        .query_row_stride = head_bytes,
        .query_head_stride = head_bytes * rows,
        .output = allocate(rows * heads, head_bytes),
        .output_row_stride = head_bytes * heads,
        .output_head_stride = head_bytes,
        .heads = (int32_t)heads,
        .scale = 1 / sqrtf((float)test->head_size),
    };
}

static double flops(const struct attention_case *test) {
    double seen = 0; /* positions, by all rows of a sequence */
    for (int32_t row = 0; row < test->rows; row++) seen += test->positions - row;
    return 4.0 * test->head_size * test->kv_heads * test->group * test->sequences * seen;
}

void attention_case_print(const struct attention_case *test, struct team *team) {
    struct quire_shape shape = {
        .layers = LAYERS,
        .kv_heads = test->kv_heads,
        .head_size = test->head_size,
        .page_type = test->page_type,
        .threads = team_size(team),
    };
    const double bytes = (double)quire_page_bytes(&shape) * case_pages(test);
    const double sets = fmin(MAX_SETS, ceil(set_bytes / bytes));
    struct bench bench = {.test = test, .sets = (int32_t)sets, .set_pages = case_pages(test)};
    bench.table_pages = pages_for(test->positions);
    shape.pages = bench.sets * bench.set_pages;

    char error[QUIRE_ERROR_BYTES];
    const struct quire_op_codes codes = {.set_rows = 1, .flash_attention = 2, .custom = 3};
    bench.handle = quire_open(&shape, test->level, &codes, error);
    if (bench.handle == NULL) refuse(error);
    const size_t rows = (size_t)test->sequences * (size_t)test->positions;
    bench.positions = allocate(rows, sizeof *bench.positions);
    bench.slots = allocate(rows, sizeof *bench.slots);
    bench.offsets = allocate(rows, sizeof *bench.offsets);
    bench.tables = allocate((size_t)test->sequences * (size_t)bench.table_pages, sizeof *bench.tables);
    bench.queries = make_queries(test);
    write_pages(&bench);
    const double seconds = median_seconds(&bench, team);
    printf("{\"seconds\":%.6g,\"flops\":%.6g,\"bytes\":%.6g}\n", seconds, flops(test), bytes / LAYERS);
    quire_close(bench.handle);
}
