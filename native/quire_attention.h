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
struct llama_batch;

/* What the loaded ggml calls the node kinds that matter here. */
struct quire_op_codes {
    int32_t set_rows;
    int32_t flash_attention;
    int32_t custom;
    int32_t add;
    int32_t multiply;
    int32_t rms_norm;
    int32_t rope;
    int32_t view, reshape, permute, transpose;
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
    const struct ggml_tensor *sum_with;        /* like rows */
    const struct ggml_tensor *add;             /* ggml_add(rows, sum_with) */
    const struct ggml_tensor *rms_norm;        /* ggml_rms_norm(add, 0.75) */
    const struct ggml_tensor *weight;          /* a row */
    const struct ggml_tensor *multiply;        /* ggml_mul(rms_norm, weight) */
    const struct ggml_tensor *positions;       /* of type i32 */
    const struct ggml_tensor *divisors;
    const struct ggml_tensor *rope;            /* ggml_rope_ext(query, positions, divisors, 16, 2, 3, 4, 5, 6, 7, 8, 9) */
    const struct ggml_tensor *view, *reshape, *permute, *transpose; /* of rows */
};

/*
 * Compares the mirror in ggml_abi.h with the probe and fills `codes`. Returns NULL, or which field is not where the
 * mirror has it (a string that lives as long as the library).
 */
QUIRE_EXPORT const char *quire_check_layout(const struct quire_layout_probe *probe, struct quire_op_codes *codes);

/* Name of the index-th instruction set that this machine can run, the fastest first; NULL behind the last. */
QUIRE_EXPORT const char *quire_level(int32_t index);

/* How a page stores its values. */
enum quire_page_type {
    QUIRE_PAGES_F16 = 0,
    QUIRE_PAGES_Q8_0 = 1, /* 8-bit integers, 32 of a head's dimensions with a common scale in half precision */
    QUIRE_PAGES_I16 = 2,  /* 16-bit integers, all of a head's dimensions with a common unit in single precision */
};

/* What the pages of a model look like, and who reads how much of them. */
struct quire_shape {
    int32_t layers;
    int32_t kv_heads;
    int32_t head_size; /* a multiple of 16 up to 256; of 32 for Q8_0 pages */
    int32_t pages;     /* of 16 tokens */
    int32_t page_type; /* enum quire_page_type */
    int32_t window;    /* positions that a row of a windowed layer sees, its own included; 0: there are none */
    const uint8_t *windowed; /* [layers], 1 for windowed layers; not read without a window */
    int32_t threads; /* that compute a step, in all lanes together, for work to be cut finely enough; 0: any number */
};

/* Bytes of one page over all layers, keys and values. */
QUIRE_EXPORT size_t quire_page_bytes(const struct quire_shape *shape);

/*
 * Makes a handle. `level` is the name of an instruction set, see quire_level. Memory is reserved,
 * and taken only as pages are written. Returns NULL with the reason in `error` (QUIRE_ERROR_BYTES).
 */
QUIRE_EXPORT struct quire_attention *quire_open(const struct quire_shape *shape, const char *level,
                                                const struct quire_op_codes *codes, char *error);

/*
 * Moves the pages of a handle that has run no step into memory that outlives this process for whoever holds its
 * descriptor: into the one given, with what its pages hold, or, for -1, into a new one. Behind the pages lie `tail_bytes`
 * for the caller, zeros in a new one. Returns the descriptor, which stays the caller's to close; or -1 when the one given
 * is of another size, or this machine has no such memory with huge pages: then the pages are where they were.
 */
QUIRE_EXPORT int32_t quire_share(struct quire_attention *handle, int32_t descriptor, size_t tail_bytes);

/*
 * Takes memory for shared pages, from the first on, for at most `bytes` of them, so that steps need not. A thread may call
 * it beside all other functions of the handle, once: quire_close ends it, and waits for it from quire_expect_backing on.
 */
QUIRE_EXPORT void quire_expect_backing(struct quire_attention *handle);
QUIRE_EXPORT void quire_back_ahead(struct quire_attention *handle, size_t bytes);

/* Where the caller's bytes are, or NULL when the pages are not shared. */
QUIRE_EXPORT void *quire_tail(struct quire_attention *handle);

/* A checksum of `count` pages from `first` on, over all layers. Returns 0, or -1 when a page does not exist. */
QUIRE_EXPORT int32_t quire_sum_pages(struct quire_attention *handle, int32_t first, int32_t count, uint64_t *sum);

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
 * Says of each row of the step whether the graph has an output for it: what attention would add to the other ones in the last
 * layer, nobody reads, and in its place are zeros. Not called after quire_begin_step: all have one.
 */
QUIRE_EXPORT void quire_expect_outputs(struct quire_attention *handle, const int8_t *outputs);

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
    float softcap;      /* scores become softcap * tanh(score / softcap); 0: they stay */
    float max_bias;     /* ALiBi (Press et al. 2021): heads prefer near positions, by slopes from this; 0: they do not */
    const float *sinks; /* [heads], a score without a value for each head; or NULL */
};

/*
 * Causal attention of all rows of this step in one layer. Called once a step and layer by each of the step's threads,
 * which share the work as it comes; when all have returned, all results are written.
 */
QUIRE_EXPORT void quire_attend(struct quire_attention *handle, int32_t layer, const struct quire_queries *queries,
                               int32_t thread);

struct quire_lanes;

/* A call of llama_decode. */
struct quire_decode {
    void *context;
    const struct llama_batch *batch;
};

/*
 * Lanes compute a large step side by side: each is a handle over the same pages, for a context of its own, which computes a
 * part of the step's rows on its own threads. So threads wait for each other at most once a layer, where in one context
 * they do after every node, and what a thread computes stays in its own caches. Up to 64 lanes. Returns NULL when there is no
 * memory, or no threads to be had.
 *
 * A step: quire_begin_step of every lane, each of which must have rows, then quire_lanes_compute. The handle must not run a
 * step at the same time, and its pages must outlive the lanes.
 */
QUIRE_EXPORT struct quire_lanes *quire_lanes_open(struct quire_attention *handle, int32_t count);

/* The handle of a lane: for quire_begin_step, quire_take_error, and as user data of quire_eval_callback. */
QUIRE_EXPORT struct quire_attention *quire_lane(struct quire_lanes *lanes, int32_t index);

/*
 * Calls `llama_decode`, the address of that function, for each lane, and returns when all have returned: 0, or what the first
 * of those that failed did. Rows of one sequence may be in several lanes.
 */
QUIRE_EXPORT int32_t quire_lanes_compute(struct quire_lanes *lanes, void *llama_decode,
                                         const struct quire_decode *decodes);

/* Ends their threads and frees the lanes; their contexts must be gone. */
QUIRE_EXPORT void quire_lanes_close(struct quire_lanes *lanes);

/* Copies one page over another, in all layers. Returns 0, or -1 when a page does not exist. */
QUIRE_EXPORT int32_t quire_copy_page(struct quire_attention *handle, int32_t source, int32_t target);

/* What the last step could not compute, or NULL; asking forgets it. The string lives until the next step. */
QUIRE_EXPORT const char *quire_take_error(struct quire_attention *handle);

/* What one layer of a model asks of attention, as its graph says. */
struct quire_layer_facts {
    int32_t nodes; /* attention nodes over this layer's keys and values; 0: none, or not as pages would keep them */
    int32_t kv_heads;
    int32_t key_size;
    int32_t value_size;
    /* Bit i: the row sees cell i of llama.cpp's cache, for the first 32. No bits: the model computes its own mask. */
    uint32_t first_row_sees;
    uint32_t second_row_sees;
};

struct quire_survey;

/* Looks at graphs without changing them: quire_survey_callback with a survey as its user data. NULL: no memory. */
QUIRE_EXPORT struct quire_survey *quire_survey_open(int32_t layers, const struct quire_op_codes *codes);
QUIRE_EXPORT void *quire_survey_callback(void);

/* Forgets earlier graphs: what is asked afterwards is about the next one alone. */
QUIRE_EXPORT void quire_survey_begin(struct quire_survey *survey);

/* The facts of a layer, all zeros if the graph has no attention over its keys and values. */
QUIRE_EXPORT void quire_survey_layer(const struct quire_survey *survey, int32_t layer, struct quire_layer_facts *facts);

/* Whether the graph rotates by one of two sets of factors, for short and for long contexts (LongRoPE). */
QUIRE_EXPORT int32_t quire_survey_long_rope(const struct quire_survey *survey);

QUIRE_EXPORT void quire_survey_close(struct quire_survey *survey);

#endif
