/*
 * As much of ggml's structures as we read and write, so that neither its headers nor its build are needed. The loaded
 * library proves the mirror right before it is used: quire_check_layout in ggml_abi.c.
 */
#ifndef QUIRE_GGML_ABI_H
#define QUIRE_GGML_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GGML_TYPE_F32 = 0, GGML_TYPE_I32 = 26 };

enum { GGML_OP_NONE = 0 }; /* a node that is there and computes nothing */

struct ggml_tensor {
    int32_t type;
    void *buffer;
    int64_t ne[4]; /* elements, fastest dimension first */
    size_t nb[4];  /* strides in bytes */
    int32_t op;
    int32_t op_params[16];
    int32_t flags;
    struct ggml_tensor *src[10];
    struct ggml_tensor *view_src;
    size_t view_offs;
    void *data;
    char name[64];
};

/* Whether the results of two nodes have bytes in common. */
static inline bool ggml_overlap(const struct ggml_tensor *a, const struct ggml_tensor *b) {
    const char *a_begin = a->data, *b_begin = b->data;
    return a_begin < b_begin + b->ne[3] * b->nb[3] && b_begin < a_begin + a->ne[3] * a->nb[3];
}

typedef void ggml_custom_function(struct ggml_tensor *node, int thread, int threads, void *user_data);

/* What op_params of a custom node hold. */
struct ggml_custom_params {
    ggml_custom_function *function;
    int32_t n_tasks;
    void *user_data;
};

enum { GGML_N_TASKS_MAX = -1 }; /* as many tasks as the graph has threads */

/* What llama_decode takes, by value. Nothing proves this one: it is as in llama.h of the pinned version. */
struct llama_batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
};

/* What op_params of a rotary position embedding hold. */
struct ggml_rope_params {
    int32_t unused, dimensions, mode, unused_too, trained_length;
    float base, scale, extrapolation, magnitude, beta_fast, beta_slow;
    int32_t sections[4];
    int32_t offset;
};

enum { GGML_ROPE_NEIGHBOURS = 0, GGML_ROPE_HALVES = 2 }; /* modes of it: which numbers are rotated together */

/* What the first three op_params of a flash attention node hold. */
struct ggml_flash_attention_params {
    float scale;
    float max_bias;
    float logit_softcap;
};

#endif
