#include "graph_rewrite.h"

#include "graph_names.h"
#include "handle.h"
#include "lanes.h"
#include "norm_nodes.h"

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

/* Whether a node reads, perhaps by way of nodes that nothing is left to do for, where another one's result will be. */
static bool reads(const struct ggml_tensor *node, const struct ggml_tensor *result) {
    for (int i = 0; i < 10 && node->src[i] != NULL; i++) {
        if (ggml_overlap(node->src[i], result)) return true;
        if (node->src[i]->op == GGML_OP_NONE && reads(node->src[i], result)) return true;
    }
    return false;
}

/*
 * A rotation can be left to attention where it is one that we can do, and what it rotates was made by the node right before and can
 * be made where the rotation's result would be: attention will find it there.
 */
static void look_at_rotation(struct ggml_tensor *node, struct quire_attention *handle) {
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
    handle->unread[1] = handle->unread[0];
    handle->unread[0] = node;
}

/* The place among unread rotations of what this is a view of, or NULL. */
static struct ggml_tensor **unread_rotation(struct ggml_tensor *tensor, struct quire_attention *handle) {
    const struct ggml_tensor *whole = graph_without_views(tensor);
    for (int i = 0; i < UNREAD_ROTATIONS; i++) {
        if (handle->unread[i] == whole) return &handle->unread[i];
    }
    return NULL;
}

/* What anything but attention reads must be rotated by then. */
static void look_at_sources(const struct ggml_tensor *node, struct quire_attention *handle) {
    for (int i = 0; i < 10 && node->src[i] != NULL; i++) {
        struct ggml_tensor **unread = unread_rotation(node->src[i], handle);
        if (unread != NULL) *unread = NULL;
    }
}

/* Takes the rotation of these queries or keys out of the graph, if it can be. Returns its index, counted from 1, or 0. */
static int32_t take_rotation(struct ggml_tensor *rows, struct quire_attention *handle) {
    struct ggml_tensor **unread = unread_rotation(rows, handle);
    if (unread == NULL) return 0;
    struct ggml_tensor *node = *unread, *source = node->src[0], *maker = graph_without_views(source);
    *unread = NULL;
    maker->data = source->data = node->data;
    node->op = GGML_OP_NONE;
    return rotations_find(&handle->rotations, node) + 1;
}

/* Has the factors ready by which queries or keys will be rotated. `index` is what take_rotation said. */
static struct rotation *ready_rotation(struct ggml_tensor *rows, int32_t index, struct quire_attention *handle) {
    if (index == 0 || handle->refused) return NULL;
    struct rotation *rotation = &handle->rotations.all[index - 1];
    const struct ggml_tensor *positions = graph_without_views(rows)->src[1];
    if (rotation_prepare(rotation, positions->data, handle->plan.row_count)) return rotation;
    handle_refuse(handle, "no memory for the factors of %d rows", (int)handle->plan.row_count);
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
        look_at_sources(node, handle);
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
        if (node->op != GGML_OP_NONE) node->op_params[KEY_ROTATION] = take_rotation(rows, handle);
        layer->key_rotation = ready_rotation(rows, node->op_params[KEY_ROTATION], handle);
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
    node->op_params[QUERY_ROTATION] = take_rotation(node->src[0], handle);
    layer->query_rotation = ready_rotation(node->src[0], node->op_params[QUERY_ROTATION], handle);
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
    layer->query_rotation = ready_rotation(node->src[0], node->op_params[QUERY_ROTATION], handle);
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
        else if (node->op == handle->codes.rope) look_at_rotation(node, handle);
        else if (!is_view(node, &handle->codes)) look_at_sources(node, handle);
        norm_nodes_look(&handle->last_nodes, node, handle->kernel, &handle->codes);
    }
    return false;
}
