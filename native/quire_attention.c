/* The handle: what the door promises, by way of the other files. */
#include "quire_attention.h"

#include "aligned_memory.h"
#include "graph_rewrite.h"
#include "handle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *quire_best_level(void) { return kernel_best()->name; }

/* Data and function pointers have one size wherever dlsym exists; ISO C has no cast for it. */
void *quire_eval_callback(void) {
    bool (*callback)(struct ggml_tensor *, bool, void *) = graph_rewrite_node;
    void *address;
    memcpy(&address, &callback, sizeof address);
    return address;
}

static struct layer *make_layers(struct quire_attention *handle, int count) {
    struct layer *layers = aligned_memory_get(_Alignof(struct layer), (size_t)count * sizeof *layers);
    if (layers == NULL) return NULL;
    for (int i = 0; i < count; i++) {
        layers[i].handle = handle;
        layers[i].index = i;
        layers[i].graphs = 0;
        atomic_init(&layers[i].next_item, 0);
    }
    return layers;
}

static void forget_refusal(struct quire_attention *handle) {
    handle->refused = false;
    handle->reason_taken = false;
    atomic_flag_clear(&handle->has_reason);
}

struct quire_attention *quire_open(int32_t layers, int32_t kv_heads, int32_t head_size, int32_t pages,
                                   const char *level, const struct quire_op_codes *codes, char *error) {
    const struct kernel *kernel = kernel_named(level);
    if (kernel == NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "this machine cannot run the attention kernel \"%s\": choose \"auto\"",
                 level);
        return NULL;
    }
    struct quire_attention *handle = calloc(1, sizeof *handle);
    if (handle == NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "no memory for the attention handle");
        return NULL;
    }
    handle->kernel = kernel;
    handle->codes = *codes;
    handle->memory = (struct page_memory){
        .layers = layers,
        .kv_heads = kv_heads,
        .head_size = head_size,
        .pages = pages,
    };
    forget_refusal(handle);
    handle->layers = make_layers(handle, layers);
    if (handle->layers == NULL || !page_memory_map(&handle->memory)) {
        snprintf(error, QUIRE_ERROR_BYTES, "the system refuses the memory for %d pages: choose a smaller KV cache",
                 (int)pages);
        quire_close(handle);
        return NULL;
    }
    return handle;
}

void quire_close(struct quire_attention *handle) {
    page_memory_unmap(&handle->memory);
    step_plan_free(&handle->plan);
    for (int i = 0; i < MAX_THREADS; i++) workspace_free(&handle->workspaces[i]);
    aligned_memory_free(handle->layers);
    free(handle);
}

int32_t quire_begin_step(struct quire_attention *handle, int32_t rows, const int32_t *positions, const int32_t *slots,
                         const int32_t *table_offsets, const int32_t *tables, int32_t table_entries, char *error) {
    forget_refusal(handle);
    const char *wrong = step_plan_make(&handle->plan, handle->memory.pages, rows, positions, slots, table_offsets,
                                       tables, table_entries);
    if (wrong != NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "%s", wrong);
        return -1;
    }
    for (int i = 0; i < handle->memory.layers; i++) {
        handle->layers[i].graphs = 0;
        atomic_store_explicit(&handle->layers[i].next_item, 0, memory_order_relaxed);
    }
    return 0;
}

void quire_write_rows(struct quire_attention *handle, int32_t layer, int32_t values, const float *source,
                      size_t row_stride, int32_t thread, int32_t threads) {
    /* Neighbouring rows go to the same cache lines, so they stay with one thread. */
    const int32_t rows = handle->plan.row_count;
    const int32_t begin = (int32_t)((int64_t)rows * thread / threads);
    const int32_t end = (int32_t)((int64_t)rows * (thread + 1) / threads);
    for (int32_t row = begin; row < end; row++) {
        const float *from = (const float *)((const char *)source + (size_t)row * row_stride);
        if (values) page_memory_write_values(&handle->memory, handle->kernel, layer, handle->plan.slots[row], from);
        else page_memory_write_keys(&handle->memory, handle->kernel, layer, handle->plan.slots[row], from);
    }
}

void quire_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries, int32_t thread) {
    atomic_int *next_item = &handle->layers[layer].next_item;
    const int heads = handle->memory.kv_heads;
    const int items = handle->plan.tile_count * heads;
    /* Taken one by one: who computes a tile changes nothing about it, and no thread waits for a slower one. */
    for (int item; (item = atomic_fetch_add_explicit(next_item, 1, memory_order_relaxed)) < items;) {
        const struct tile *tile = &handle->plan.tiles[item / heads];
        if (!attend_tile(&handle->memory, handle->kernel, &handle->plan, tile, layer, item % heads, queries,
                         &handle->workspaces[thread])) {
            handle_refuse(handle, "no memory for the workspace of a thread");
            return;
        }
    }
}

int32_t quire_copy_page(struct quire_attention *handle, int32_t source, int32_t target) {
    const int32_t pages = handle->memory.pages;
    if (source < 0 || source >= pages || target < 0 || target >= pages) return -1;
    if (source != target) page_memory_copy(&handle->memory, source, target);
    return 0;
}

void handle_refuse(struct quire_attention *handle, const char *format, ...) {
    if (atomic_flag_test_and_set(&handle->has_reason)) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(handle->reason, sizeof handle->reason, format, arguments);
    va_end(arguments);
    handle->refused = true;
}

const char *quire_take_error(struct quire_attention *handle) {
    if (!handle->refused || handle->reason_taken) return NULL;
    handle->reason_taken = true;
    return handle->reason;
}
