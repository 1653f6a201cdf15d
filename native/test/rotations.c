#include "rotations.h"

#include "graph_rewrite.h"
#include "nodes.h"
#include "rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_SIZE = 64, KV_HEADS = 2, HEADS = 6, ROWS = 5, PAGES = 4, TOKENS = 16 };
enum { QUERIES = ROWS * HEADS * HEAD_SIZE, KEYS = ROWS * KV_HEADS * HEAD_SIZE, MROPE = 8 };

static const int32_t positions[ROWS] = {0, 1, 2, 17, 900}, slots[ROWS] = {0, 1, 2, 17, 36};

/* One layer as llama.cpp builds it: products, reshaped, rotated, written and attended; and a result for anything else. */
struct graph {
    struct ggml_tensor input, where, divisors;
    struct ggml_tensor query, query_heads, query_rope, query_view, key, key_heads, key_rope, key_view, values;
    struct ggml_tensor key_cache, value_cache, cached_keys, cached_values, set_keys, set_values, other, attention;
    float inputs[16], queries[QUERIES], rotated_queries[QUERIES], keys[KEYS], rotated_keys[KEYS], value_rows[KEYS];
    float outputs[QUERIES], others[16], divided[HEAD_SIZE / 2];
    int32_t where_rows[ROWS];
};

static struct ggml_tensor view(int op, struct ggml_tensor *whole, int64_t a, int64_t b, int64_t c) {
    struct ggml_tensor result = node_of(op, a, b, c, whole->data);
    result.view_src = whole->view_src == NULL ? whole : whole->view_src;
    result.src[0] = whole;
    return result;
}

static void make(struct graph *g, struct rng *rng, const struct ggml_rope_params *params, bool divides) {
    for (int i = 0; i < QUERIES; i++) g->queries[i] = (float)(rng_unit(rng) * 6 - 3);
    for (int i = 0; i < KEYS; i++) g->keys[i] = (float)(rng_unit(rng) * 2 - 1);
    for (int i = 0; i < KEYS; i++) g->value_rows[i] = (float)(rng_unit(rng) * 2 - 1);
    for (int i = 0; i < HEAD_SIZE / 2; i++) g->divided[i] = (float)(1 + i % 3);
    memcpy(g->where_rows, positions, sizeof positions);
    g->input = node_of(GGML_OP_NONE, 16, 1, 1, g->inputs);
    g->where = node_of(GGML_OP_NONE, ROWS, 1, 1, (float *)g->where_rows);
    g->where.type = GGML_TYPE_I32;
    g->divisors = node_of(GGML_OP_NONE, HEAD_SIZE / 2, 1, 1, g->divided);
    g->query = node_of(OTHER, HEADS * HEAD_SIZE, ROWS, 1, g->queries);
    g->key = node_of(OTHER, KV_HEADS * HEAD_SIZE, ROWS, 1, g->keys);
    g->query.src[0] = g->key.src[0] = &g->input;
    g->query_heads = view(RESHAPE, &g->query, HEAD_SIZE, HEADS, ROWS);
    g->key_heads = view(RESHAPE, &g->key, HEAD_SIZE, KV_HEADS, ROWS);
    g->query_rope = node_of(ROPE, HEAD_SIZE, HEADS, ROWS, g->rotated_queries);
    g->key_rope = node_of(ROPE, HEAD_SIZE, KV_HEADS, ROWS, g->rotated_keys);
    g->query_rope.src[0] = &g->query_heads;
    g->key_rope.src[0] = &g->key_heads;
    g->query_rope.src[1] = g->key_rope.src[1] = &g->where;
    g->query_rope.src[2] = g->key_rope.src[2] = divides ? &g->divisors : NULL;
    memcpy(g->query_rope.op_params, params, sizeof *params);
    memcpy(g->key_rope.op_params, params, sizeof *params);
    g->values = node_of(OTHER, KV_HEADS * HEAD_SIZE, ROWS, 1, g->value_rows);
    g->key_view = view(VIEW, &g->key_rope, KV_HEADS * HEAD_SIZE, ROWS, 1);
    g->key_cache = g->value_cache = node_of(GGML_OP_NONE, KV_HEADS * HEAD_SIZE, 256, 1, NULL);
    strcpy(g->key_cache.name, "cache_k_l0");
    strcpy(g->value_cache.name, "cache_v_l0");
    g->set_keys = g->set_values = node_of(SET_ROWS, KV_HEADS * HEAD_SIZE, 256, 1, NULL);
    g->set_keys.src[0] = &g->key_view;
    g->set_values.src[0] = &g->values;
    g->set_keys.src[1] = g->set_values.src[1] = &g->where;
    g->set_keys.src[2] = &g->key_cache;
    g->set_values.src[2] = &g->value_cache;
    g->cached_keys = view(VIEW, &g->key_cache, HEAD_SIZE, 256, KV_HEADS);
    g->cached_values = view(VIEW, &g->value_cache, HEAD_SIZE, 256, KV_HEADS);
    g->query_view = view(PERMUTE, &g->query_rope, HEAD_SIZE, ROWS, HEADS);
    g->query_view.nb[1] = HEADS * HEAD_SIZE * sizeof(float);
    g->query_view.nb[2] = HEAD_SIZE * sizeof(float);
    g->other = node_of(OTHER, 16, 1, 1, g->others);
    g->other.src[0] = &g->input;
    g->attention = node_of(FLASH_ATTENTION, HEAD_SIZE, HEADS, ROWS, g->outputs);
    g->attention.src[0] = &g->query_view;
    g->attention.src[1] = &g->cached_keys;
    g->attention.src[2] = &g->cached_values;
    const struct ggml_flash_attention_params scale = {.scale = 0.125f};
    memcpy(g->attention.op_params, &scale, sizeof scale);
}

static bool begin(struct quire_attention *handle) {
    static const int32_t offsets[ROWS] = {0, 0, 0, 4, 60}, tables[120] = {0, 1, 2, 3, 0, 1};
    int32_t all[120];
    memcpy(all, tables, sizeof all);
    all[60 + 900 / TOKENS] = 2;
    char error[QUIRE_ERROR_BYTES];
    return quire_begin_step(handle, ROWS, positions, slots, offsets, all, 120, error) == 0;
}

/* `between`, if there is any, comes before the rotation of queries. */
static void show(struct graph *g, struct quire_attention *handle, struct ggml_tensor *between) {
    struct ggml_tensor *nodes[] = {
        &g->query, &g->query_heads, between,       &g->query_rope, &g->key,   &g->key_heads,  &g->key_rope,
        &g->values, &g->key_view,   &g->set_keys,  &g->set_values, &g->other, &g->query_view, &g->attention,
    };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        if (nodes[i] != NULL) graph_rewrite_node(nodes[i], true, handle);
    }
}

/* In doubles, but for the angles, which are products of floats as in llama.cpp. */
static void rotate(const struct graph *g, const struct ggml_rope_params *params, bool divides, const float *from, float *to,
                   int heads) {
    const int half = params->dimensions / 2;
    memcpy(to, from, (size_t)ROWS * (size_t)heads * HEAD_SIZE * sizeof *to);
    for (int row = 0; row < ROWS; row++) {
        float angle = (float)positions[row];
        for (int i = 0; i < half; i++, angle *= powf(params->base, -2.0f / (float)params->dimensions)) {
            const double by = params->scale * (divides ? angle / g->divided[i] : angle);
            const double c = cos(by) * params->magnitude, s = sin(by) * params->magnitude;
            const int a = params->mode == GGML_ROPE_HALVES ? i : 2 * i, b = params->mode == GGML_ROPE_HALVES ? i + half : a + 1;
            for (int head = 0; head < heads; head++) {
                const float *x = from + (row * heads + head) * HEAD_SIZE;
                float *y = to + (row * heads + head) * HEAD_SIZE;
                y[a] = (float)(x[a] * c - x[b] * s);
                y[b] = (float)(x[a] * s + x[b] * c);
            }
        }
    }
}

static int judge(const char *level, const char *what, bool right) {
    if (!right) printf("%s: rotations: %s\n", level, what);
    return !right;
}

/* The same attention of queries and keys that were rotated before; results differ by the roundings of a few floats. */
static bool is_right(struct graph *g, const struct ggml_rope_params *params, bool divides, struct quire_attention *plain) {
    float *queries = malloc(3 * QUERIES * sizeof *queries), *keys = queries + QUERIES, *outputs = keys + QUERIES;
    if (queries == NULL || !begin(plain)) return false;
    rotate(g, params, divides, g->queries, queries, HEADS);
    rotate(g, params, divides, g->keys, keys, KV_HEADS);
    quire_write_rows(plain, 0, 0, keys, KV_HEADS * HEAD_SIZE * sizeof *keys, 0, 1);
    quire_write_rows(plain, 0, 1, g->value_rows, KV_HEADS * HEAD_SIZE * sizeof *keys, 0, 1);
    const struct quire_queries all = {
        .query = queries,
        .query_row_stride = HEADS * HEAD_SIZE * sizeof *queries,
        .query_head_stride = HEAD_SIZE * sizeof *queries,
        .output = outputs,
        .output_row_stride = HEADS * HEAD_SIZE * sizeof *queries,
        .output_head_stride = HEAD_SIZE * sizeof *queries,
        .heads = HEADS,
        .scale = 0.125f,
    };
    quire_attend(plain, 0, &all, 0);
    bool right = true;
    for (int i = 0; i < QUERIES; i++) right = right && fabsf(outputs[i] - g->outputs[i]) <= 2e-3f;
    free(queries);
    return right;
}

/* Runs the attention node. What comes before was made where the rotations' results would have been. */
static void run(struct graph *g) {
    memcpy(g->query.data, g->queries, sizeof g->queries);
    memcpy(g->key.data, g->keys, sizeof g->keys);
    struct ggml_custom_params params;
    memcpy(&params, g->attention.op_params, sizeof params);
    params.function(&g->attention, 0, 1, params.user_data);
}

static const struct ggml_rope_params plain_params = {
    .dimensions = HEAD_SIZE, .mode = GGML_ROPE_HALVES, .base = 10000, .scale = 1, .magnitude = 1};

static int check_results(struct graph *g, const char *level, struct quire_attention *handle, struct quire_attention *plain,
                         struct rng *rng) {
    int wrong = 0;
    for (int i = 0; i < 4; i++) {
        struct ggml_rope_params params = plain_params;
        params.mode = i % 2 == 0 ? GGML_ROPE_NEIGHBOURS : GGML_ROPE_HALVES;
        params.dimensions = i < 2 ? HEAD_SIZE : HEAD_SIZE / 2;
        params.scale = i == 1 ? 0.5f : 1;
        params.magnitude = i == 2 ? 1.25f : 1;
        const bool divides = i == 3;
        make(g, rng, &params, divides);
        for (int again = 0; again < 2; again++) {
            wrong += judge(level, "no step", begin(handle));
            show(g, handle, NULL);
            const bool taken = g->query_rope.op == GGML_OP_NONE && g->key_rope.op == GGML_OP_NONE;
            wrong += judge(level, "a rotation was left alone", taken && g->query.data == g->rotated_queries &&
                                                                   g->key_heads.data == g->rotated_keys);
            if (!taken || g->attention.op != CUSTOM) return wrong + 1;
            run(g);
            wrong += judge(level, again ? "a graph used again is wrong" : "a result is wrong", is_right(g, &params, divides, plain));
        }
        const char *problem = quire_take_error(handle);
        wrong += judge(level, problem == NULL ? "" : problem, problem == NULL);
    }
    return wrong;
}

static void change_params(struct graph *g, struct ggml_rope_params params) {
    memcpy(g->query_rope.op_params, &params, sizeof params);
}
static void extrapolated(struct graph *g) {
    struct ggml_rope_params params = plain_params;
    params.extrapolation = 1;
    change_params(g, params);
}
static void of_sections(struct graph *g) {
    struct ggml_rope_params params = plain_params;
    params.mode = MROPE;
    change_params(g, params);
}
static void shifted(struct graph *g) {
    struct ggml_rope_params params = plain_params;
    params.dimensions = HEAD_SIZE / 2;
    params.offset = HEAD_SIZE / 2;
    change_params(g, params);
}
static void of_few(struct graph *g) {
    struct ggml_rope_params params = plain_params;
    params.dimensions = 40;
    change_params(g, params);
}
static void read_elsewhere(struct graph *g) { g->other.src[0] = &g->query_rope; }
static void view_read_elsewhere(struct graph *g) { g->other.src[0] = &g->query_view; }
static void over_input(struct graph *g) { g->query.src[0] = &g->query_rope; }
static void over_input_of_nothing(struct graph *g) {
    g->input.src[0] = &g->values;
    g->values.data = g->rotated_queries;
}
static void made_before(struct graph *g) {
    g->query_heads.view_src = &g->key;
    g->query_heads.data = g->keys;
}
static void part_of_it(struct graph *g) { g->query.nb[3] *= 2; }
static void computed_positions(struct graph *g) { g->where.op = OTHER; }
static void halves(struct graph *g) { g->query_heads.type = TYPE_F16; }

static const struct {
    const char *name;
    void (*change)(struct graph *);
} left_alone[] = {
    {"an extrapolated rotation", extrapolated},
    {"a rotation of sections", of_sections},
    {"a rotation behind others", shifted},
    {"dimensions that are no multiple of 16", of_few},
    {"queries that something else reads", read_elsewhere},
    {"queries of which something else reads a view", view_read_elsewhere},
    {"a result over what it is made of", over_input},
    {"a result over what a node without work reads", over_input_of_nothing},
    {"what was made before another node", made_before},
    {"a part of what was made", part_of_it},
    {"positions that are computed", computed_positions},
    {"halves", halves},
};

static int check_left_alone(struct graph *g, const char *level, struct quire_attention *handle, struct rng *rng) {
    int wrong = 0;
    for (size_t i = 0; i < sizeof left_alone / sizeof *left_alone; i++) {
        make(g, rng, &plain_params, false);
        left_alone[i].change(g);
        const void *data = g->query.data;
        wrong += judge(level, "no step", begin(handle));
        show(g, handle, NULL);
        wrong += judge(level, left_alone[i].name, g->query_rope.op == ROPE && g->query.data == data && g->attention.op == CUSTOM);
    }
    make(g, rng, &plain_params, false);
    wrong += judge(level, "no step", begin(handle));
    show(g, handle, &g->other);
    wrong += judge(level, "a node between", g->query_rope.op == ROPE && g->key_rope.op == GGML_OP_NONE);
    /* More kinds than there is room for: what comes late stays. */
    struct ggml_rope_params params = plain_params;
    for (int i = 0; i < 6; i++) {
        params.base = 100 + (float)i;
        make(g, rng, &params, false);
        wrong += judge(level, "no step", begin(handle));
        show(g, handle, NULL);
    }
    return wrong + judge(level, "too many kinds", g->query_rope.op == ROPE && g->key_rope.op == ROPE);
}

int check_rotations(const char *level, uint64_t seed) {
    int wrong = 0;
    for (int type = QUIRE_PAGES_F16; type <= QUIRE_PAGES_I16; type++) {
        const struct quire_shape shape = {
            .layers = 1, .kv_heads = KV_HEADS, .head_size = HEAD_SIZE, .pages = PAGES, .page_type = type};
        char error[QUIRE_ERROR_BYTES];
        struct quire_attention *handle = quire_open(&shape, level, &node_codes, error);
        struct quire_attention *other = quire_open(&shape, level, &node_codes, error);
        struct quire_attention *plain = quire_open(&shape, level, &node_codes, error);
        struct graph *graph = malloc(sizeof *graph);
        struct rng rng = {seed};
        const bool ready = handle != NULL && other != NULL && plain != NULL && graph != NULL;
        wrong += judge(level, "no handles", ready);
        if (ready) wrong += check_results(graph, level, handle, plain, &rng) + check_left_alone(graph, level, other, &rng);
        free(graph);
        if (handle != NULL) quire_close(handle);
        if (other != NULL) quire_close(other);
        if (plain != NULL) quire_close(plain);
    }
    return wrong;
}
