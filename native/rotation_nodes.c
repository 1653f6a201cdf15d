#include "rotation_nodes.h"

#include "graph_names.h"

#include <string.h>

/* Whether a node reads, perhaps by way of nodes that nothing is left to do for, where another one's result will be. */
static bool reads(const struct ggml_tensor *node, const struct ggml_tensor *result) {
    for (int i = 0; i < 10 && node->src[i] != NULL; i++) {
        if (ggml_overlap(node->src[i], result)) return true;
        if (node->src[i]->op == GGML_OP_NONE && reads(node->src[i], result)) return true;
    }
    return false;
}

void rotation_nodes_look(struct ggml_tensor *node, struct quire_attention *handle) {
    const struct ggml_tensor *positions = node->src[1];
    struct ggml_tensor *source = node->src[0], *maker = graph_without_views(source);
    const struct last_nodes *last = &handle->last_nodes;
    const bool follows = last->newest == source && (source == maker || last->before == maker);
    const bool of_heads = node->type == GGML_TYPE_F32 && source->type == GGML_TYPE_F32 && node->ne[3] == 1 &&
                          node->ne[0] == handle->memory->head_size && node->ne[2] == handle->plan.row_count;
    const bool has_positions = positions->type == GGML_TYPE_I32 && positions->op == GGML_OP_NONE &&
                               positions->data != NULL && positions->ne[0] == node->ne[2];
    if (!follows || !of_heads || !has_positions || rotations_find(&handle->rotations, node) < 0) return;
    const bool alike = source->data == maker->data && memcmp(node->nb, source->nb, sizeof node->nb) == 0 &&
                       maker->ne[3] * maker->nb[3] == node->ne[3] * node->nb[3];
    if (!alike || (node->data != maker->data && reads(maker, node))) return;
    handle->unread_rotations[1] = handle->unread_rotations[0];
    handle->unread_rotations[0] = node;
}

/* The place among unread rotations of what this is a view of, or NULL. */
static struct ggml_tensor **unread_rotation(struct ggml_tensor *tensor, struct quire_attention *handle) {
    const struct ggml_tensor *whole = graph_without_views(tensor);
    for (int i = 0; i < UNREAD_ROTATIONS; i++) {
        if (handle->unread_rotations[i] == whole) return &handle->unread_rotations[i];
    }
    return NULL;
}

void rotation_nodes_see_reader(const struct ggml_tensor *node, struct quire_attention *handle) {
    for (int i = 0; i < 10 && node->src[i] != NULL; i++) {
        struct ggml_tensor **unread = unread_rotation(node->src[i], handle);
        if (unread != NULL) *unread = NULL;
    }
}

int32_t rotation_nodes_take(struct ggml_tensor *rows, struct quire_attention *handle) {
    struct ggml_tensor **unread = unread_rotation(rows, handle);
    if (unread == NULL) return 0;
    struct ggml_tensor *node = *unread, *source = node->src[0], *maker = graph_without_views(source);
    *unread = NULL;
    maker->data = source->data = node->data;
    node->op = GGML_OP_NONE;
    return rotations_find(&handle->rotations, node) + 1;
}

struct rotation *rotation_nodes_ready(struct ggml_tensor *rows, int32_t index, struct quire_attention *handle) {
    if (index == 0 || handle->refused) return NULL;
    struct rotation *rotation = &handle->rotations.all[index - 1];
    const struct ggml_tensor *positions = graph_without_views(rows)->src[1];
    if (rotation_prepare(rotation, positions->data, handle->plan.row_count)) return rotation;
    handle_refuse(handle, "no memory for the factors of %d rows", (int)handle->plan.row_count);
    return NULL;
}
