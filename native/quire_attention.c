/* The handle: what the door promises, by way of the other files. */
#include "quire_attention.h"

#include "aligned_memory.h"
#include "graph_rewrite.h"
#include "handle.h"
#include "lanes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *quire_level(int32_t index) {
    const struct kernel *kernel = kernel_at(index);
    return kernel == NULL ? NULL : kernel->name;
}

size_t quire_page_bytes(const struct quire_shape *shape) {
    return 2 * (size_t)shape->layers * shape->kv_heads * page_half_bytes(shape->page_type, shape->head_size);
}

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
        layers[i] = (struct layer){.handle = handle, .index = i};
        atomic_init(&layers[i].next_item, 0);
        atomic_init(&layers[i].arrived, 0);
    }
    return layers;
}

static void forget_refusal(struct quire_attention *handle) {
    handle->refused = false;
    handle->reason_taken = false;
    atomic_flag_clear(&handle->has_reason);
}

/* What is wrong with a shape, or NULL. */
static const char *check_shape(const struct quire_shape *shape) {
    const bool quantized = shape->page_type == QUIRE_PAGES_Q8_0;
    if (shape->page_type < QUIRE_PAGES_F16 || shape->page_type > QUIRE_PAGES_I16) return "there is no such type of page";
    if (shape->layers < 1 || shape->kv_heads < 1 || shape->pages < 1) return "there must be layers, heads and pages";
    if (shape->head_size < 1 || shape->head_size > MAX_HEAD_SIZE ||
        shape->head_size % (quantized ? SCALE_VALUES : PAGE_TOKENS) != 0) {
        return quantized ? "8-bit pages need a head size that is a multiple of 32 up to 256"
                         : "the head size must be a multiple of 16 up to 256";
    }
    if (shape->window < 0) return "a window is at least one position";
    if (shape->threads < 0) return "a step is computed by at least one thread";
    return NULL;
}

struct quire_attention *handle_make(const struct kernel *kernel, const struct quire_op_codes *codes, int32_t layers,
                                    int32_t window, const uint8_t *windowed, int32_t threads) {
    struct quire_attention *handle = calloc(1, sizeof *handle);
    if (handle == NULL) return NULL;
    handle->memory = &handle->own_memory;
    handle->kernel = kernel;
    handle->codes = *codes;
    handle->threads = threads;
    handle->plan.enough_items = enough_items(threads);
    handle->plan.readings[1].window = window;
    atomic_flag_clear(&handle->results_lock);
    forget_refusal(handle);
    handle->layers = make_layers(handle, layers);
    handle->windowed = calloc((size_t)layers, sizeof *handle->windowed);
    if (handle->layers == NULL || handle->windowed == NULL) {
        quire_close(handle);
        return NULL;
    }
    if (windowed != NULL) memcpy(handle->windowed, windowed, (size_t)layers);
    return handle;
}

struct quire_attention *quire_open(const struct quire_shape *shape, const char *level,
                                   const struct quire_op_codes *codes, char *error) {
    const struct kernel *kernel = kernel_named(level);
    if (kernel == NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "this machine cannot run the attention kernel \"%s\": choose \"auto\"",
                 level);
        return NULL;
    }
    const char *wrong = check_shape(shape);
    if (wrong != NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "%s", wrong);
        return NULL;
    }
    struct quire_attention *handle =
        handle_make(kernel, codes, shape->layers, shape->window, shape->window == 0 ? NULL : shape->windowed, shape->threads);
    if (handle == NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "no memory for the attention handle");
        return NULL;
    }
    handle->own_memory = (struct page_memory){
        .layers = shape->layers,
        .kv_heads = shape->kv_heads,
        .head_size = shape->head_size,
        .pages = shape->pages,
        .type = shape->page_type,
    };
    if (!page_memory_map(handle->memory)) {
        snprintf(error, QUIRE_ERROR_BYTES, "the system refuses the memory for %d pages: choose a smaller KV cache",
                 (int)shape->pages);
        quire_close(handle);
        return NULL;
    }
    return handle;
}

int32_t quire_share(struct quire_attention *handle, int32_t descriptor, size_t tail_bytes) {
    return page_memory_share(handle->memory, descriptor, tail_bytes);
}

void quire_expect_backing(struct quire_attention *handle) { atomic_store(&handle->memory->backing, true); }

void quire_back_ahead(struct quire_attention *handle, size_t bytes) { page_memory_back_ahead(handle->memory, bytes); }

void *quire_tail(struct quire_attention *handle) {
    const struct page_memory *memory = handle->memory;
    return memory->tail_offset == 0 ? NULL : memory->memory + memory->tail_offset;
}

int32_t quire_sum_pages(struct quire_attention *handle, int32_t first, int32_t count, uint64_t *sum) {
    const int32_t pages = handle->memory->pages;
    if (first < 0 || count < 0 || first > pages - count) return -1;
    *sum = page_memory_sum(handle->memory, first, count);
    return 0;
}

void quire_close(struct quire_attention *handle) {
    page_memory_unmap(&handle->own_memory);
    step_plan_free(&handle->plan);
    split_results_free(&handle->results);
    rotations_free(&handle->rotations);
    for (int i = 0; i < MAX_THREADS; i++) workspace_free(&handle->workspaces[i]);
    aligned_memory_free(handle->layers);
    free(handle->windowed);
    free(handle);
}

int32_t quire_begin_step(struct quire_attention *handle, int32_t rows, const int32_t *positions, const int32_t *slots,
                         const int32_t *table_offsets, const int32_t *tables, int32_t table_entries, char *error) {
    forget_refusal(handle);
    handle->last_nodes = (struct last_nodes){NULL, NULL};
    memset(handle->unread_rotations, 0, sizeof handle->unread_rotations);
    rotations_begin_step(&handle->rotations);
    const char *wrong = step_plan_make(&handle->plan, handle->memory->pages, handle->memory->kv_heads, rows, positions,
                                       slots, table_offsets, tables, table_entries);
    if (wrong != NULL) {
        snprintf(error, QUIRE_ERROR_BYTES, "%s", wrong);
        return -1;
    }
    for (int32_t row = 0; row < rows; row++) page_memory_back(handle->memory, slots[row] / PAGE_TOKENS);
    for (int i = 0; i < handle->memory->layers; i++) {
        handle->layers[i].graphs = 0;
        handle->layers[i].keys = handle->layers[i].values = NULL;
        handle->layers[i].key_rotation = handle->layers[i].query_rotation = NULL;
        atomic_store_explicit(&handle->layers[i].next_item, 0, memory_order_relaxed);
        atomic_store_explicit(&handle->layers[i].arrived, 0, memory_order_relaxed);
    }
    return 0;
}

void quire_expect_outputs(struct quire_attention *handle, const int8_t *outputs) {
    step_plan_expect_outputs(&handle->plan, outputs);
}

void quire_write_rows(struct quire_attention *handle, int32_t layer, int32_t values, const float *source,
                      size_t row_stride, int32_t thread, int32_t threads) {
    const struct page_memory *memory = handle->memory;
    const struct rotation *rotation = handle->layers[layer].key_rotation;
    float room[MAX_HEAD_SIZE];
    /* Neighbouring rows go to the same cache lines, so they stay with one thread. */
    const int32_t rows = handle->plan.row_count;
    const int32_t begin = (int32_t)((int64_t)rows * thread / threads);
    const int32_t end = (int32_t)((int64_t)rows * (thread + 1) / threads);
    for (int32_t row = begin; row < end; row++) {
        const float *from = (const float *)((const char *)source + (size_t)row * row_stride);
        const int slot = handle->plan.slots[row];
        for (int head = 0; head < memory->kv_heads; head++, from += memory->head_size) {
            if (values) page_memory_write_value(memory, handle->kernel, layer, slot, head, from);
            else page_memory_write_key(memory, handle->kernel, layer, slot, head,
                                       rotated(rotation, handle->kernel, row, from, memory->head_size, room));
        }
    }
}

/* How many splits there are is known when the step begins, how many heads only here; the first thread makes the room. */
static bool reserve_results(struct quire_attention *handle, const struct reading *reading, int heads) {
    if (reading->cut_count == 0) return true;
    while (atomic_flag_test_and_set_explicit(&handle->results_lock, memory_order_acquire)) {
    }
    const bool enough = split_results_reserve(&handle->results, reading, handle->memory, heads);
    atomic_flag_clear_explicit(&handle->results_lock, memory_order_release);
    return enough;
}

void handle_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries,
                   const struct fresh_rows *fresh, int32_t thread) {
    const struct reading *reading = &handle->plan.readings[handle->windowed[layer]];
    const struct attention_job job = {
        .memory = handle->memory,
        .kernel = handle->kernel,
        .plan = &handle->plan,
        .reading = reading,
        .queries = queries,
        .query_rotation = handle->layers[layer].query_rotation,
        .key_rotation = handle->layers[layer].key_rotation,
        .fresh = fresh,
        .results = &handle->results,
        .next_item = &handle->layers[layer].next_item,
        .layer = layer,
    };
    if (!reserve_results(handle, reading, queries->heads) || !attend_items(&job, &handle->workspaces[thread])) {
        handle_refuse(handle, "no memory for the workspace of a thread");
    }
}

void quire_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries, int32_t thread) {
    handle_attend(handle, layer, queries, NULL, thread);
}

int32_t quire_copy_page(struct quire_attention *handle, int32_t source, int32_t target) {
    const int32_t pages = handle->memory->pages;
    if (source < 0 || source >= pages || target < 0 || target >= pages) return -1;
    if (source == target) return 0;
    page_memory_back(handle->memory, target);
    page_memory_copy(handle->memory, source, target);
    return 0;
}

void handle_refuse(struct quire_attention *handle, const char *format, ...) {
    if (handle->lanes != NULL) lanes_fail(handle->lanes);
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
