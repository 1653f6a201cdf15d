#include "graph_rewrite.h"

#include "handle.h"

#include <stdio.h>
#include <string.h>

/* Where a rewritten attention node keeps its scale: op_params behind those of a custom node. */
enum { SCALE_PARAM = 12 };
_Static_assert(sizeof(struct ggml_custom_params) <= SCALE_PARAM * sizeof(int32_t), "the scale would be overwritten");

static void write_rows(const struct ggml_tensor *node, int thread, int threads, const struct layer *layer, int values) {
    if (layer->handle->refused) return;
    const struct ggml_tensor *rows = node->src[0];
    quire_write_rows(layer->handle, layer->index, values, rows->data, rows->nb[1], thread, threads);
}

static void write_keys_node(struct ggml_tensor *node, int thread, int threads, void *user_data) {
    write_rows(node, thread, threads, user_data, 0);
}

static void write_values_node(struct ggml_tensor *node, int thread, int threads, void *user_data) {
    write_rows(node, thread, threads, user_data, 1);
}

static void attention_node(struct ggml_tensor *node, int thread, int threads, void *user_data) {
    (void)threads;
    const struct layer *layer = user_data;
    const struct ggml_tensor *query = node->src[0];
    struct quire_queries queries = {
        .query = query->data,
        .query_row_stride = query->nb[1],
        .query_head_stride = query->nb[2],
        .output = node->data,
        .output_row_stride = node->nb[2],
        .output_head_stride = node->nb[1],
        .heads = (int32_t)query->ne[2],
    };
    memcpy(&queries.scale, &node->op_params[SCALE_PARAM], sizeof queries.scale);

    if (layer->handle->refused) {
        if (thread == 0) memset(node->data, 0, (size_t)node->ne[3] * node->nb[3]);
        return;
    }
    quire_attend(layer->handle, layer->index, &queries, thread);
}

static void make_custom(struct ggml_tensor *node, ggml_custom_function *function, struct layer *layer) {
    const struct ggml_custom_params params = {function, GGML_N_TASKS_MAX, layer};
    memset(node->op_params, 0, sizeof node->op_params);
    memcpy(node->op_params, &params, sizeof params);
    node->op = layer->handle->codes.custom;
}

/*
 * The layer whose cache tensor has this name, `cache_k_l<layer>` or `cache_v_l<layer>`, or -1. A name with more
 * behind it (a reshaped cache) is of no layer.
 */
static int cache_layer(const struct ggml_tensor *tensor, char kind) {
    char found, more;
    int layer;
    if (sscanf(tensor->name, "cache_%c_l%d%c", &found, &layer, &more) != 2) return -1;
    return found == kind ? layer : -1;
}

static const struct ggml_tensor *without_views(const struct ggml_tensor *tensor) {
    while (tensor->view_src != NULL) tensor = tensor->view_src;
    return tensor;
}

static struct layer *layer_at(struct quire_attention *handle, int index, const struct ggml_tensor *node) {
    if (index >= 0 && index < handle->memory.layers) return &handle->layers[index];
    handle_refuse(handle,
                  "the node %s belongs to no layer that has pages; the context needs flash attention on and one "
                  "unified cache",
                  node->name);
    return NULL;
}

static void check_rows(struct quire_attention *handle, int64_t rows) {
    if (rows == handle->plan.row_count) return;
    handle_refuse(handle,
                  "llama.cpp computes %lld rows at once and the step has %d: n_batch and n_ubatch of the context must "
                  "be at least the largest step",
                  (long long)rows, (int)handle->plan.row_count);
}

static void check_graphs(struct layer *layer) {
    if (layer->graphs++ == 0) return;
    handle_refuse(layer->handle, "more than one graph ran since the step began");
}

static void rewrite_set_rows(struct ggml_tensor *node, struct quire_attention *handle) {
    const struct ggml_tensor *cache = node->src[2], *rows = node->src[0];
    if (strncmp(cache->name, "cache_k_l", 9) != 0 && strncmp(cache->name, "cache_v_l", 9) != 0) return;
    const bool values = cache->name[6] == 'v';
    struct layer *layer = layer_at(handle, cache_layer(cache, values ? 'v' : 'k'), cache);
    if (layer == NULL) return;

    const int width = handle->memory.kv_heads * handle->memory.head_size;
    if (rows->type != GGML_TYPE_F32 || rows->nb[0] != sizeof(float) || rows->ne[0] != width || rows->ne[2] != 1 ||
        rows->ne[3] != 1) {
        handle_refuse(handle, "%s takes rows of %lld values of type %d where the pages hold %d floats", cache->name,
                      (long long)rows->ne[0], (int)rows->type, width);
        return;
    }
    check_rows(handle, rows->ne[1]);
    make_custom(node, values ? write_values_node : write_keys_node, layer);
}

/* What this node asks for that we would compute wrongly, or NULL. */
static const char *unsupported(const struct ggml_tensor *node, const struct page_memory *memory) {
    const struct ggml_tensor *query = node->src[0], *key = node->src[1], *value = node->src[2];
    struct ggml_flash_attention_params params;
    memcpy(&params, node->op_params, sizeof params);
    if (params.max_bias != 0) return "ALiBi";
    if (params.logit_softcap != 0) return "a soft-cap on logits";
    if (node->src[4] != NULL) return "attention sinks";
    if (query->type != GGML_TYPE_F32 || query->nb[0] != sizeof(float)) return "queries other than rows of f32";
    if (query->ne[0] != memory->head_size || key->ne[0] != memory->head_size || value->ne[0] != memory->head_size) {
        return "another head size than the pages have";
    }
    if (key->ne[2] != memory->kv_heads || value->ne[2] != memory->kv_heads || query->ne[2] % memory->kv_heads != 0) {
        return "another number of heads than the pages have";
    }
    if (query->ne[3] != 1 || key->ne[3] != 1) return "several streams";
    return NULL;
}

static void rewrite_attention(struct ggml_tensor *node, struct quire_attention *handle) {
    const int index = cache_layer(without_views(node->src[1]), 'k');
    struct layer *layer = layer_at(handle, index, node);
    if (layer == NULL) return;
    const char *feature = unsupported(node, &handle->memory);
    if (feature == NULL && cache_layer(without_views(node->src[2]), 'v') != index) feature = "values without a cache";
    if (feature != NULL) {
        handle_refuse(handle, "attention of layer %d wants %s, which pages do not do", index, feature);
        return;
    }
    check_rows(handle, node->src[0]->ne[1]);
    check_graphs(layer);

    struct ggml_flash_attention_params params;
    memcpy(&params, node->op_params, sizeof params);
    make_custom(node, attention_node, layer);
    memcpy(&node->op_params[SCALE_PARAM], &params.scale, sizeof params.scale);
}

/* A node of an earlier step, if it is one of ours. */
static void check_rewritten(const struct ggml_tensor *node, struct quire_attention *handle) {
    struct ggml_custom_params params;
    memcpy(&params, node->op_params, sizeof params);
    const bool writes = params.function == write_keys_node || params.function == write_values_node;
    if (!writes && params.function != attention_node) return;
    struct layer *layer = params.user_data;
    if (layer->handle != handle) return;
    check_rows(handle, node->src[0]->ne[1]);
    if (!writes) check_graphs(layer);
}

bool graph_rewrite_node(struct ggml_tensor *node, bool ask, void *user_data) {
    struct quire_attention *handle = user_data;
    if (ask) {
        if (node->op == handle->codes.set_rows) rewrite_set_rows(node, handle);
        else if (node->op == handle->codes.flash_attention) rewrite_attention(node, handle);
        else if (node->op == handle->codes.custom) check_rewritten(node, handle);
    }
    return false;
}
