/* How llama.cpp names the tensors of its cache. */
#ifndef QUIRE_GRAPH_NAMES_H
#define QUIRE_GRAPH_NAMES_H

#include "ggml_abi.h"

/*
 * The layer whose cache tensor this is, by its name: `cache_k_l<layer>` (kind 'k') or `cache_v_l<layer>` (kind 'v'), or
 * -1. A name with more behind it (a reshaped cache) is of no layer.
 */
int graph_cache_layer(const struct ggml_tensor *tensor, char kind);

/* The tensor that this one is a view of, through all views. */
struct ggml_tensor *graph_without_views(struct ggml_tensor *tensor);

#endif
