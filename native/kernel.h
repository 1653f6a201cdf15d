/*
 * What an instruction set has to offer to attention: four operations on plain arrays. Each level implements them by
 * including kernel_template.h, which is where the order of sums is written down.
 */
#ifndef QUIRE_KERNEL_H
#define QUIRE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAGE_TOKENS = 16,  /* also the width of a panel: one vector of 16 lanes, whatever the hardware's width */
    BLOCK_PAGES = 4,
    BLOCK_TOKENS = PAGE_TOKENS * BLOCK_PAGES, /* the softmax takes this many positions at a time */
    MULTIPLY_ROWS = 6, /* rows of A that `multiply` serves with one pass over B */
};

/* State of one query's online softmax (Milakov and Gimelshein 2018) between two blocks. */
struct softmax_state {
    _Alignas(64) float totals[PAGE_TOKENS]; /* of exp(score - maximum), one for each offset in a page */
    float maximum;                          /* of the scores seen, -INFINITY at the start */
};

struct kernel {
    const char *name;

    /* Converts `count` panels of 16 halves, which follow each other, to floats, `target_stride` floats apart. */
    void (*widen)(const uint16_t *source, float *target, ptrdiff_t target_stride, int count);

    /* Rounds `count` floats, a multiple of 16, to halves, ties to even. */
    void (*narrow)(const float *source, uint16_t *target, int count);

    /*
     * C[rows][columns] = (from_zero ? 0 : C) + A[rows][depth] B[depth][columns]; columns is a multiple of 16. Strides
     * are in floats. Every element of C is summed over depth in sequence, alone: its bits depend on nothing but its own
     * row of A, its own column of B, and depth. Calling it for depth m and then for the n that follow gives the bits of
     * one call for m + n.
     */
    void (*multiply)(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, float *c,
                     ptrdiff_t c_stride, int rows, int columns, int depth, bool from_zero);

    /*
     * One query, one block: turns the first `visible` of its 64 scores into weights exp(score - maximum) and the others
     * into 0, and brings state and `sums` (head_size floats) to the new maximum.
     */
    void (*fold)(float *scores, int visible, struct softmax_state *state, float *sums, int head_size);
};

extern const struct kernel kernel_portable;
#if defined(__x86_64__)
extern const struct kernel kernel_avx512;
#endif

/* The fastest level that this machine can run. */
const struct kernel *kernel_best(void);

/* The level of that name if this machine can run it, else NULL. */
const struct kernel *kernel_named(const char *name);

#endif
