#include "norm_nodes.h"

#include <string.h>

/* What a rewritten node keeps in op_params, behind those of a custom node: a float, and whether there is a sum before. */
enum { EPSILON = 8, ADDS };
_Static_assert(sizeof(struct ggml_custom_params) <= EPSILON * sizeof(int32_t), "they would be overwritten");

static float *row_of(const struct ggml_tensor *tensor, int64_t row) {
    const int64_t i1 = row % tensor->ne[1], i23 = row / tensor->ne[1];
    const int64_t i2 = i23 % tensor->ne[2], i3 = i23 / tensor->ne[2];
    return (float *)((char *)tensor->data + i1 * tensor->nb[1] + i2 * tensor->nb[2] + i3 * tensor->nb[3]);
}

/* In the place of the product of a norm and its weight. */
static void norm_node(struct ggml_tensor *node, int thread, int threads, void *user_data) {
    const struct kernel *kernel = user_data;
    const struct ggml_tensor *input = node->src[0]->src[0];
    const bool adds = node->op_params[ADDS];
    float epsilon;
    memcpy(&epsilon, &node->op_params[EPSILON], sizeof epsilon);
    const int64_t rows = node->ne[1] * node->ne[2] * node->ne[3], end = rows * (thread + 1) / threads;
    for (int64_t row = rows * thread / threads; row < end; row++) {
        kernel->norm(row_of(adds ? input->src[0] : input, row), adds ? row_of(input->src[1], row) : NULL,
                     row_of(input, row), node->src[1]->data, row_of(node, row), (int)node->ne[0], epsilon);
    }
}

static bool has_floats(const struct ggml_tensor *tensor, const int64_t *ne) {
    return tensor->type == GGML_TYPE_F32 && tensor->nb[0] == sizeof(float) && memcmp(tensor->ne, ne, 4 * sizeof *ne) == 0;
}

/* Whether rows of `node` may be written while other rows of `read` are yet to be read. */
static bool may_write(const struct ggml_tensor *node, const struct ggml_tensor *read) {
    const bool same = node->data == read->data && memcmp(node->nb, read->nb, sizeof node->nb) == 0;
    return same || !ggml_overlap(node, read);
}

static bool can_add(const struct ggml_tensor *sum, const struct ggml_tensor *node) {
    for (int i = 0; i < 2; i++) {
        if (!has_floats(sum->src[i], node->ne) || !may_write(node, sum->src[i])) return false;
    }
    return true;
}

static bool can_norm(const struct ggml_tensor *node, const struct ggml_tensor *norm) {
    const struct ggml_tensor *input = norm->src[0], *weight = node->src[1];
    const int64_t one_row[4] = {node->ne[0], 1, 1, 1};
    /* Where the product has taken the place of the norm's result, nobody else reads that. */
    return node->src[0] == norm && node->data == norm->data && node->ne[0] % PAGE_TOKENS == 0 &&
           has_floats(node, node->ne) && has_floats(input, node->ne) && has_floats(weight, one_row) && may_write(node, input);
}

static void rewrite(struct ggml_tensor *node, struct ggml_tensor *norm, struct ggml_tensor *before,
                    const struct kernel *kernel, const struct quire_op_codes *codes) {
    if (!can_norm(node, norm)) return;
    const bool adds = before == norm->src[0] && before->op == codes->add && can_add(before, node);
    const struct ggml_custom_params params = {norm_node, GGML_N_TASKS_MAX, (void *)kernel};
    memset(node->op_params, 0, sizeof node->op_params);
    memcpy(node->op_params, &params, sizeof params);
    memcpy(&node->op_params[EPSILON], norm->op_params, sizeof(float));
    node->op_params[ADDS] = adds;
    node->op = codes->custom;
    norm->op = GGML_OP_NONE;
    if (adds) before->op = GGML_OP_NONE;
}

void norm_nodes_look(struct last_nodes *last, struct ggml_tensor *node, const struct kernel *kernel,
                     const struct quire_op_codes *codes) {
    struct ggml_tensor *norm = last->newest;
    if (node->op == codes->multiply && norm != NULL && norm->op == codes->rms_norm) {
        rewrite(node, norm, last->before, kernel, codes);
    }
    *last = (struct last_nodes){node, last->newest};
}
