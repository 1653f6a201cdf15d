/* RMS norms: one node of ours in the place of a sum, the norm of it, and the norm's product with its weight. */
#ifndef QUIRE_NORM_NODES_H
#define QUIRE_NORM_NODES_H

#include "ggml_abi.h"
#include "handle.h"

/*
 * Shown all nodes of a graph in their order, before any runs, with those that it was shown last. Once the product comes, that
 * becomes a custom node which does all of it, and the others nothing. What they read is as it was then, since they follow each
 * other. A sum is written too: the next one adds to it.
 */
void norm_nodes_look(struct last_nodes *last, struct ggml_tensor *node, const struct kernel *kernel,
                     const struct quire_op_codes *codes);

#endif
