#include "norms.h"

#include "graph_rewrite.h"
#include "nodes.h"
#include "rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 1040, MAX_ROWS = 12, ROOM = MAX_WIDTH * MAX_ROWS, GRAPHS = 40 };

static const float epsilon = 1e-5f;

/* sum = left + right, norm of sum, product = norm * weight; without a sum, the norm is of `left`. */
struct graph {
    struct ggml_tensor left, right, sum, norm, weight, product;
    float lefts[ROOM], rights[ROOM], sums[ROOM], products[ROOM + MAX_WIDTH], weights[MAX_WIDTH];
    /* As they were before the graph ran. */
    float given_lefts[ROOM], given_rights[ROOM];
    int64_t width, rows;
    bool adds;
};

/* In fresh memory each; `rows` times `more_rows` are at most MAX_ROWS. */
static void make(struct graph *graph, struct rng *rng, int64_t width, int64_t rows, int64_t more_rows, bool adds) {
    graph->width = width;
    graph->rows = rows * more_rows;
    graph->adds = adds;
    for (int i = 0; i < ROOM; i++) {
        graph->lefts[i] = (float)(rng_unit(rng) * 8 - 4);
        graph->rights[i] = (float)(rng_unit(rng) * 2 - 1);
    }
    for (int i = 0; i < MAX_WIDTH; i++) graph->weights[i] = (float)(rng_unit(rng) * 3);
    graph->left = node_of(GGML_OP_NONE, width, rows, more_rows, graph->lefts);
    graph->right = node_of(OTHER, width, rows, more_rows, graph->rights);
    graph->sum = node_of(ADD, width, rows, more_rows, graph->sums);
    graph->norm = node_of(RMS_NORM, width, rows, more_rows, graph->products);
    graph->weight = node_of(GGML_OP_NONE, width, 1, 1, graph->weights);
    graph->product = node_of(MULTIPLY, width, rows, more_rows, graph->products);
    graph->sum.src[0] = &graph->left;
    graph->sum.src[1] = &graph->right;
    graph->norm.src[0] = adds ? &graph->sum : &graph->left;
    memcpy(graph->norm.op_params, &epsilon, sizeof epsilon);
    graph->product.src[0] = &graph->norm;
    graph->product.src[1] = &graph->weight;
}

static void show(struct graph *graph, struct quire_attention *handle) {
    graph_rewrite_node(&graph->right, true, handle);
    if (graph->adds) graph_rewrite_node(&graph->sum, true, handle);
    graph_rewrite_node(&graph->norm, true, handle);
    graph_rewrite_node(&graph->product, true, handle);
}

/* One thread after the other, in an order that none may count on. */
static void run(struct graph *graph, int threads) {
    memcpy(graph->given_lefts, graph->left.data, sizeof graph->given_lefts);
    memcpy(graph->given_rights, graph->right.data, sizeof graph->given_rights);
    struct ggml_custom_params params;
    memcpy(&params, graph->product.op_params, sizeof params);
    for (int thread = threads - 1; thread >= 0; thread--) params.function(&graph->product, thread, threads, params.user_data);
}

/* An error of a few roundings of each number. */
static bool is_near(double value, double exact) { return fabs(value - exact) <= 4e-7 * fabs(exact); }

static bool is_right(const struct graph *graph) {
    const float *sums = graph->sum.data, *products = graph->product.data;
    for (int64_t row = 0; row < graph->rows; row++) {
        double squares = 0;
        float x[MAX_WIDTH];
        for (int64_t i = 0; i < graph->width; i++) {
            const int64_t at = row * graph->width + i;
            x[i] = graph->given_lefts[at] + (graph->adds ? graph->given_rights[at] : 0);
            if (graph->adds && sums[at] != x[i]) return false;
            squares += (double)x[i] * x[i];
        }
        const double scale = 1 / sqrt(squares / (double)graph->width + epsilon);
        for (int64_t i = 0; i < graph->width; i++) {
            if (!is_near(products[row * graph->width + i], x[i] * scale * graph->weights[i])) return false;
        }
    }
    return true;
}

static int judge(const char *level, const char *what, bool right) {
    if (!right) printf("%s: norms: %s\n", level, what);
    return !right;
}

/* Where the allocator may put things: results in the place of what is not read afterwards. */
static void lay_out(struct graph *graph, struct rng *rng) {
    if (graph->adds && rng_chance(rng, 0.5)) graph->sum.data = graph->lefts;
    if (rng_chance(rng, 0.5)) graph->norm.data = graph->product.data = graph->adds ? graph->rights : graph->lefts;
}

static int check_results(struct graph *graph, const char *level, struct quire_attention *handle, struct rng *rng) {
    int wrong = 0;
    for (int i = 0; i < GRAPHS; i++) {
        const int rows = rng_int(rng, 1, 4), more_rows = rng_int(rng, 1, MAX_ROWS / 4);
        const bool adds = rng_chance(rng, 0.6);
        make(graph, rng, 16 * rng_int(rng, 1, MAX_WIDTH / 16), rows, more_rows, adds);
        lay_out(graph, rng);
        show(graph, handle);
        const bool rewritten = graph->product.op == CUSTOM && graph->norm.op == GGML_OP_NONE;
        wrong += judge(level, "a norm was left alone", rewritten);
        wrong += judge(level, "a sum was left alone", !adds || graph->sum.op == GGML_OP_NONE);
        if (!rewritten) continue;
        for (int again = 0; again < 2; again++) {
            run(graph, rng_int(rng, 1, 5));
            wrong += judge(level, again ? "a graph used again is wrong" : "a result is wrong", is_right(graph));
            /* llama.cpp asks again before it runs the same graph again, on what other nodes have written since. */
            for (int k = 0; k < ROOM; k++) ((float *)graph->left.data)[k] = (float)(rng_unit(rng) - 0.5);
            for (int k = 0; k < ROOM; k++) ((float *)graph->right.data)[k] = (float)(rng_unit(rng) - 0.5);
            show(graph, handle);
        }
    }
    return wrong;
}

static void odd_width(struct graph *graph) { graph->product.ne[0] = graph->norm.ne[0] = graph->weight.ne[0] = 24; }
static void weight_matrix(struct graph *graph) { graph->weight.ne[1] = 3; }
static void half_weights(struct graph *graph) { graph->weight.type = TYPE_F16; }
static void weight_first(struct graph *graph) {
    graph->product.src[0] = &graph->weight;
    graph->product.src[1] = &graph->norm;
}
static void norm_kept(struct graph *graph) { graph->product.data = graph->products + MAX_WIDTH; }
static void norm_of_other(struct graph *graph) { graph->norm.src[0] = &graph->weight; }
static void shifted(struct graph *graph) {
    graph->adds = false;
    graph->norm.src[0] = &graph->left;
    graph->norm.data = graph->product.data = graph->lefts + 16;
}

/* Only the sum is left alone. */
static void shifted_sum(struct graph *graph) { graph->norm.data = graph->product.data = graph->rights + 16; }
static void broadcast(struct graph *graph) { graph->right.ne[1] = 1; }
static void half_sum(struct graph *graph) { graph->right.type = TYPE_F16; }
static void other_sum(struct graph *graph) { graph->sum.op = OTHER; }

static const struct {
    const char *name;
    void (*change)(struct graph *);
    bool norm_alone; /* is rewritten, without the sum */
} left_alone[] = {
    {"a width that is no multiple of 16", odd_width, false},
    {"several rows of weights", weight_matrix, false},
    {"weights in half precision", half_weights, false},
    {"a weight times a norm", weight_first, false},
    {"a norm that others may read", norm_kept, false},
    {"a norm of another shape", norm_of_other, false},
    {"a result over rows yet to be read", shifted, false},
    {"a result over rows of the sum yet to be read", shifted_sum, true},
    {"a sum of a matrix and a row", broadcast, true},
    {"a sum with halves", half_sum, true},
    {"another operation than a sum", other_sum, true},
};

static int check_left_alone(struct graph *graph, const char *level, struct quire_attention *handle, struct rng *rng) {
    int wrong = 0;
    for (size_t i = 0; i < sizeof left_alone / sizeof *left_alone; i++) {
        make(graph, rng, 64, 3, 2, true);
        left_alone[i].change(graph);
        const int sum = graph->sum.op;
        show(graph, handle);
        const bool rewritten = graph->product.op == CUSTOM;
        wrong += judge(level, left_alone[i].name, rewritten == left_alone[i].norm_alone && graph->sum.op == sum &&
                                                     (graph->norm.op == RMS_NORM) == !rewritten);
    }
    /* A node between could have changed what the sum reads. */
    make(graph, rng, 64, 3, 2, true);
    graph_rewrite_node(&graph->sum, true, handle);
    graph_rewrite_node(&graph->right, true, handle);
    graph_rewrite_node(&graph->norm, true, handle);
    graph_rewrite_node(&graph->product, true, handle);
    return wrong + judge(level, "a sum that came earlier", graph->sum.op == ADD && graph->product.op == CUSTOM);
}

int check_norms(const char *level, uint64_t seed) {
    const struct quire_shape shape = {.layers = 1, .kv_heads = 1, .head_size = 32, .pages = 1};
    char error[QUIRE_ERROR_BYTES];
    struct quire_attention *handle = quire_open(&shape, level, &node_codes, error);
    struct graph *graph = malloc(sizeof *graph);
    struct rng rng = {seed};
    const bool ready = handle != NULL && graph != NULL;
    int wrong = judge(level, "no handle", ready);
    if (ready) wrong += check_results(graph, level, handle, &rng) + check_left_alone(graph, level, handle, &rng);
    free(graph);
    if (handle != NULL) quire_close(handle);
    return wrong;
}
