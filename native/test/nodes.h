/* Nodes of graphs, made by hand. */
#ifndef QUIRE_TEST_NODES_H
#define QUIRE_TEST_NODES_H

#include "ggml_abi.h"
#include "quire_attention.h"

/* Kinds of nodes; OTHER stands for any that the library does not know. */
enum { SET_ROWS = 1, FLASH_ATTENTION, CUSTOM, ADD, MULTIPLY, RMS_NORM, ROPE, VIEW, RESHAPE, PERMUTE, TRANSPOSE, OTHER };
enum { TYPE_F16 = 1 };

static const struct quire_op_codes node_codes = {
    .set_rows = SET_ROWS,
    .flash_attention = FLASH_ATTENTION,
    .custom = CUSTOM,
    .add = ADD,
    .multiply = MULTIPLY,
    .rms_norm = RMS_NORM,
    .rope = ROPE,
    .view = VIEW,
    .reshape = RESHAPE,
    .permute = PERMUTE,
    .transpose = TRANSPOSE,
};

/* Of floats, one behind the other, [c][b][a]. */
static inline struct ggml_tensor node_of(int kind, int64_t a, int64_t b, int64_t c, float *data) {
    const size_t row = (size_t)a * sizeof(float);
    return (struct ggml_tensor){
        .op = kind,
        .ne = {a, b, c, 1},
        .nb = {sizeof(float), row, row * (size_t)b, row * (size_t)(b * c)},
        .data = data,
    };
}

#endif
