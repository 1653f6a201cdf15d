/*
 * Rotary position embeddings (Su et al. 2021). Queries and keys are rotated where attention reads them, by factors that all
 * layers share, instead of in nodes of their own.
 */
#ifndef QUIRE_ROTATION_H
#define QUIRE_ROTATION_H

#include "ggml_abi.h"
#include "kernel.h"

enum { MAX_ROTATIONS = 4 }; /* of one model: layers with and without a window may differ */

/* What a node's parameters and factors say. */
struct rotation_rule {
    int32_t dimensions;     /* that are rotated, the first ones of a head; a multiple of 16 */
    bool neighbours;        /* are rotated together, else numbers of the two halves */
    float base, scale, magnitude;
    const float *divisors;  /* of each angle, or NULL */
};

struct rotation {
    struct rotation_rule rule;
    float *factors; /* [row][2][dimensions]: what the first number of a pair is multiplied with, and the second */
    size_t floats;
    int32_t rows;   /* of this step, whose factors these are; 0: of none yet */
};

struct rotations {
    struct rotation all[MAX_ROTATIONS];
    int32_t count;
};

/* Index of the rotation that this node of kind ROPE is, or -1: it is another kind, or there are too many. */
int32_t rotations_find(struct rotations *rotations, const struct ggml_tensor *node);

/* Makes the factors of this step's rows, unless they are there. Returns false when there is no memory. */
bool rotation_prepare(struct rotation *rotation, const int32_t *positions, int32_t rows);

void rotations_begin_step(struct rotations *rotations);
void rotations_free(struct rotations *rotations);

/* A row's query or key of one head, `size` floats, as it is to be read: rotated in `room`, unless `rotation` is NULL. */
static inline const float *rotated(const struct rotation *rotation, const struct kernel *kernel, int32_t row,
                                   const float *vector, int size, float *room) {
    if (rotation == NULL) return vector;
    const int dimensions = rotation->rule.dimensions;
    const float *factors = rotation->factors + (size_t)row * 2 * (size_t)dimensions;
    kernel->rotate(vector, factors, dimensions, rotation->rule.neighbours, room, size);
    return room;
}

#endif
