/*
 * The door of this library: paged attention for llama.cpp, as src/attention/ calls it.
 *
 * One `struct quire_attention` holds the key/value pages of one model and everything needed to run its steps. Handles
 * are independent of each other. Except for quire_attend and quire_write_rows, which the threads of one step may call
 * at the same time, the functions of a handle must not run concurrently.
 */
#ifndef QUIRE_ATTENTION_H
#define QUIRE_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#define QUIRE_EXPORT __attribute__((visibility("default")))

/* Room that callers give for an error message, with its final NUL. */
#define QUIRE_ERROR_BYTES 256

struct quire_attention;
struct ggml_tensor;

/* What the loaded ggml calls the three node kinds that matter here. */
struct quire_op_codes {
    int32_t set_rows;
    int32_t flash_attention;
    int32_t custom;
};

/*
 * Nodes that the loaded ggml made itself, to compare our mirror of its structures with. All are of type f32 unless said
 * otherwise and need no data.
 */
struct quire_layout_probe {
    const struct ggml_tensor *tensor;          /* [3, 5, 7, 11], named `name` */
    const char *name;
    const struct ggml_tensor *cache;           /* the matrix that set_rows writes into */
    const struct ggml_tensor *rows;
    const struct ggml_tensor *indices;
    const struct ggml_tensor *set_rows;        /* ggml_set_rows(cache, rows, indices) */
    const struct ggml_tensor *query;
    const struct ggml_tensor *key;
    const struct ggml_tensor *value;
    const struct ggml_tensor *mask;
    const struct ggml_tensor *sinks;
    const struct ggml_tensor *flash_attention; /* scale 0.5, max_bias 0.25, logit_softcap 0.125, sinks added */
    const struct ggml_tensor *custom;          /* ggml_custom_4d(..., function, n_tasks = -1, user_data) */
    const void *function;
    const void *user_data;
};

/*
 * Compares the mirror in ggml_abi.h with the probe and fills `codes`. Returns NULL, or which field is not where the
 * mirror has it (a string that lives as long as the library).
 */
QUIRE_EXPORT const char *quire_check_layout(const struct quire_layout_probe *probe, struct quire_op_codes *codes);

/* The instruction set that level "auto" chooses on this machine. */
QUIRE_EXPORT const char *quire_best_level(void);

/*
 * Makes a handle with `pages` pages of 16 tokens in each of `layers` layers. `level` is "avx512" or "portable". Memory
 * is reserved, and taken only as pages are written. Returns NULL with the reason in `error` (QUIRE_ERROR_BYTES).
 */
QUIRE_EXPORT struct quire_attention *quire_open(int32_t layers, int32_t kv_heads, int32_t head_size, int32_t pages,
                                                const char *level, const struct quire_op_codes *codes, char *error);

/* Frees the handle with its pages. No graph whose nodes were rewritten for it may run afterwards. */
QUIRE_EXPORT void quire_close(struct quire_attention *handle);

/* Address of the function for llama_context_params.cb_eval; the handle is its user data. */
QUIRE_EXPORT void *quire_eval_callback(void);

/*
 * Announces the rows of the next graph. Row i has position positions[i], writes its key and value to slot slots[i]
 * (page * 16 + offset) and finds its sequence's page table at tables[table_offsets[i]]. Rows of a sequence follow each
 * other with ascending positions. A table is read up to the page of its sequence's last position. All arrays are
 * copied. Returns 0, or -1 with the reason in `error`, after which the handle has no step.
 */
QUIRE_EXPORT int32_t quire_begin_step(struct quire_attention *handle, int32_t rows, const int32_t *positions,
                                      const int32_t *slots, const int32_t *table_offsets, const int32_t *tables,
                                      int32_t table_entries, char *error);

/*
 * Writes this step's keys (values = 0) or values (values = 1) of one layer into their slots: source holds one row of
 * kv_heads * head_size floats every row_stride bytes. Threads 0 .. threads - 1 each write their share.
 */
QUIRE_EXPORT void quire_write_rows(struct quire_attention *handle, int32_t layer, int32_t values, const float *source,
                                   size_t row_stride, int32_t thread, int32_t threads);

/* Where the queries of a step lie and where their results go; strides in bytes. */
struct quire_queries {
    const float *query;
    size_t query_row_stride;
    size_t query_head_stride;
    float *output;
    size_t output_row_stride;
    size_t output_head_stride;
    int32_t heads; /* query heads, a multiple of kv_heads */
    float scale;
};

/*
 * Causal attention of all rows of this step in one layer. Called once a step and layer by each of the step's threads,
 * which share the work as it comes; when all have returned, all results are written.
 */
QUIRE_EXPORT void quire_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries,
                               int32_t thread);

/* Copies one page over another, in all layers. Returns 0, or -1 when a page does not exist. */
QUIRE_EXPORT int32_t quire_copy_page(struct quire_attention *handle, int32_t source, int32_t target);

/* What the last step could not compute, or NULL; asking forgets it. The string lives until the next step. */
QUIRE_EXPORT const char *quire_take_error(struct quire_attention *handle);

#endif
