#include "graph_rewrite.h"

#include "graph_names.h"
#include "handle.h"
#include "lanes.h"
#include "norm_nodes.h"
#include "rotation_nodes.h"

#include <string.h>

/* Where a rewritten attention node keeps its former parameters: op_params behind those of a custom node. */
enum { FORMER_PARAMS = 8, QUERY_ROTATION = 12 };
_Static_assert(sizeof(struct ggml_custom_params) <= FORMER_PARAMS * sizeof(int32_t), "they would be overwritten");
_Static_assert(FORMER_PARAMS * sizeof(int32_t) + sizeof(struct ggml_flash_attention_params) <=
                   QUERY_ROTATION * sizeof(int32_t), "they do not fit");
/* And a rewritten node that writes the cache, which has no parameters. Both are indices, counted from 1. */
enum { KEY_ROTATION = 0 };

/* Says that this thread has written its share, and waits until all keys and values that this handle's rows read are there. */
static void await_rows(struct layer *layer, int threads) {
    const struct quire_attention *handle = layer->handle;
    const struct quire_lanes *lanes = handle->lanes;
    atomic_fetch_add_explicit(&layer->arrived, 1, memory_order_acq_rel);
    lanes_await(lanes, &layer->arrived, threads);
    if (lanes == NULL) return;
    for (int32_t lane = 0; lane < lanes->count; lane++) {
        if ((handle->awaited_lanes >> lane & 1) == 0) continue;
        lanes_await(lanes, &lanes->handles[lane]->layers[layer->index].arrived, threads);
    }
}

/*
 * Writes this step's keys and values, and attends. Rows that read nothing of each other's are written by whoever reads
 * them, unless llama.cpp lets the output lie where keys or values still do; otherwise all are written before any is
 * read.
 */
static void attention_node(struct ggml_tensor *node, int thread, int threads, void *user_data) {
    struct layer *layer = user_data;
    struct quire_attention *handle = layer->handle;
    const struct ggml_tensor *query = node->src[0], *keys = layer->keys, *values = layer->values;
    if (handle->refused) {
        if (thread == 0) memset(node->data, 0, (size_t)node->ne[3] * node->nb[3]);
        return;
    }
    struct ggml_flash_attention_params params;
    memcpy(&params, &node->op_params[FORMER_PARAMS], sizeof params);
    const struct quire_queries queries = {
        .query = query->data,
        .query_row_stride = query->nb[1],
        .query_head_stride = query->nb[2],
        .output = node->data,
        .output_row_stride = node->nb[2],
        .output_head_stride = node->nb[1],
        .heads = (int32_t)query->ne[2],
        .scale = params.scale,
        .softcap = params.logit_softcap,
        .max_bias = params.max_bias,
        .sinks = node->src[4] == NULL ? NULL : node->src[4]->data,
    };
    const struct fresh_rows fresh = {keys->data, values->data, keys->nb[1], values->nb[1]};
    const bool apart = handle->awaited_lanes == 0 && !handle->is_awaited;
    if (apart && handle->plan.single_rows && !ggml_overlap(node, keys) && !ggml_overlap(node, values)) {
        handle_attend(handle, layer->index, &queries, &fresh, thread);
        return;
    }
    quire_write_rows(handle, layer->index, 0, fresh.keys, fresh.key_stride, thread, threads);
    quire_write_rows(handle, layer->index, 1, fresh.values, fresh.value_stride, thread, threads);
    await_rows(layer, threads);
    handle_attend(handle, layer->index, &queries, NULL, thread);
}

static struct layer *layer_at(struct quire_attention *handle, int index, const struct ggml_tensor *node) {
    if (index >= 0 && index < handle->memory->layers) return &handle->layers[index];
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

/*
 * Nothing is left to do for the node itself: attention takes the rows from its source. A graph that is used again comes
 * with the nodes that were rewritten for an earlier step.
 */
static void rewrite_set_rows(struct ggml_tensor *node, struct quire_attention *handle) {
    const struct ggml_tensor *cache = node->src[2];
    struct ggml_tensor *rows = node->src[0];
    if (strncmp(cache->name, "cache_k_l", 9) != 0 && strncmp(cache->name, "cache_v_l", 9) != 0) {
        rotation_nodes_see_reader(node, handle);
        return;
    }
    const bool values = cache->name[6] == 'v';
    struct layer *layer = layer_at(handle, graph_cache_layer(cache, values ? 'v' : 'k'), cache);
    if (layer == NULL) return;

    const int width = handle->memory->kv_heads * handle->memory->head_size;
    if (rows->type != GGML_TYPE_F32 || rows->nb[0] != sizeof(float) || rows->ne[0] != width || rows->ne[2] != 1 ||
        rows->ne[3] != 1) {
        handle_refuse(handle, "%s takes rows of %lld values of type %d where the pages hold %d floats", cache->name,
                      (long long)rows->ne[0], (int)rows->type, width);
        return;
    }
    check_rows(handle, rows->ne[1]);
    if (values) {
        layer->values = rows;
    } else {
        layer->keys = rows;
        if (node->op != GGML_OP_NONE) node->op_params[KEY_ROTATION] = rotation_nodes_take(rows, handle);
        layer->key_rotation = rotation_nodes_ready(rows, node->op_params[KEY_ROTATION], handle);
    }
    node->op = GGML_OP_NONE;
}

/* What this node asks for that we would compute wrongly, or NULL. */
static const char *unsupported(const struct ggml_tensor *node, const struct page_memory *memory) {
    const struct ggml_tensor *query = node->src[0], *key = node->src[1], *value = node->src[2];
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
    const int index = graph_cache_layer(graph_without_views(node->src[1]), 'k');
    struct layer *layer = layer_at(handle, index, node);
    if (layer == NULL) return;
    const char *feature = unsupported(node, handle->memory);
    if (feature == NULL && graph_cache_layer(graph_without_views(node->src[2]), 'v') != index) feature = "values without a cache";
    if (feature != NULL) {
        handle_refuse(handle, "attention of layer %d wants %s, which pages do not do", index, feature);
        return;
    }
    if (layer->keys == NULL || layer->values == NULL) {
        handle_refuse(handle, "attention of layer %d comes before its keys and values are written", index);
        return;
    }
    check_rows(handle, node->src[0]->ne[1]);
    check_graphs(layer);

    struct ggml_flash_attention_params former;
    memcpy(&former, node->op_params, sizeof former);
    const struct ggml_custom_params params = {attention_node, GGML_N_TASKS_MAX, layer};
    memset(node->op_params, 0, sizeof node->op_params);
    memcpy(node->op_params, &params, sizeof params);
    memcpy(&node->op_params[FORMER_PARAMS], &former, sizeof former);
    node->op_params[QUERY_ROTATION] = rotation_nodes_take(node->src[0], handle);
    layer->query_rotation = rotation_nodes_ready(node->src[0], node->op_params[QUERY_ROTATION], handle);
    node->op = handle->codes.custom;
}

/* A node of an earlier step, if it is one of ours. */
static void check_rewritten(const struct ggml_tensor *node, struct quire_attention *handle) {
    struct ggml_custom_params params;
    memcpy(&params, node->op_params, sizeof params);
    if (params.function != attention_node) return;
    struct layer *layer = params.user_data;
    if (layer->handle != handle) return;
    check_rows(handle, node->src[0]->ne[1]);
    check_graphs(layer);
    layer->query_rotation = rotation_nodes_ready(node->src[0], node->op_params[QUERY_ROTATION], handle);
}

static bool is_view(const struct ggml_tensor *node, const struct quire_op_codes *codes) {
    return node->op == codes->view || node->op == codes->reshape || node->op == codes->permute || node->op == codes->transpose;
}

bool graph_rewrite_node(struct ggml_tensor *node, bool ask, void *user_data) {
    struct quire_attention *handle = user_data;
    if (ask) {
        const bool sets_rows = node->op == handle->codes.set_rows || node->op == GGML_OP_NONE;
        if (sets_rows && node->src[2] != NULL) rewrite_set_rows(node, handle);
        else if (node->op == handle->codes.flash_attention) rewrite_attention(node, handle);
        else if (node->op == handle->codes.custom) check_rewritten(node, handle);
        else if (node->op == handle->codes.rope) rotation_nodes_look(node, handle);
        else if (!is_view(node, &handle->codes)) rotation_nodes_see_reader(node, handle);
        norm_nodes_look(&handle->last_nodes, node, handle->kernel, &handle->codes);
    }
    return false;
}
