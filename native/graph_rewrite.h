/* Puts our pages in the place of llama.cpp's cache, and what goes with them, in the graphs of a context. */
#ifndef QUIRE_GRAPH_REWRITE_H
#define QUIRE_GRAPH_REWRITE_H

#include "ggml_abi.h"

/*
 * llama_context_params.cb_eval; the handle is its user data. Asked about every node before any node runs, it turns
 * those that write or read the cache into custom nodes that call us: the parameters of a node are plain data, and ggml
 * looks at its kind only when it runs. Rotations of queries and keys become part of attention, norms custom nodes (norm_nodes.h). It never asks to see a node's result, so the graph still runs as one. Rewritten
 * nodes stay so when llama.cpp uses the graph again, and are then only checked.
 */
bool graph_rewrite_node(struct ggml_tensor *node, bool ask, void *handle);

#endif
