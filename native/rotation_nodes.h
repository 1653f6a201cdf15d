/* Rotations of queries and keys, which attention does in their place. */
#ifndef QUIRE_ROTATION_NODES_H
#define QUIRE_ROTATION_NODES_H

#include "ggml_abi.h"
#include "handle.h"

/*
 * Shown a rotation as llama.cpp asks about it. It can be left to attention where it is one that we can do, and what it rotates is
 * made by the node right before and can be made where the rotation's result would be: attention will find it there.
 */
void rotation_nodes_look(struct ggml_tensor *node, struct quire_attention *handle);

/* Shown anything that computes something, but attention: what it reads must be rotated by then. */
void rotation_nodes_see_reader(const struct ggml_tensor *node, struct quire_attention *handle);

/* Takes the rotation of these queries or keys out of the graph, if it can be. Returns its index, counted from 1, or 0. */
int32_t rotation_nodes_take(struct ggml_tensor *rows, struct quire_attention *handle);

/* Has the factors ready by which queries or keys will be rotated; NULL: they will not. `index` is what the former returned. */
struct rotation *rotation_nodes_ready(struct ggml_tensor *rows, int32_t index, struct quire_attention *handle);

#endif
