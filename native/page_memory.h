/*
 * The key/value pages of one model: 16 tokens each, in halves, in one mapping for keys and one for values.
 *
 *   keys    [layer][page][kv head][d][token]   a panel of 16 keys per d: 16 scores grow side by side in one vector
 *   values  [layer][page][kv head][token][d]
 */
#ifndef QUIRE_PAGE_MEMORY_H
#define QUIRE_PAGE_MEMORY_H

#include "kernel.h"

struct page_memory {
    int layers;
    int kv_heads;
    int head_size;
    int pages;
    size_t bytes; /* of one mapping */
    uint16_t *keys;
    uint16_t *values;
};

/* Reserves the two mappings; `memory` has its four sizes set. Returns false when the machine refuses. */
bool page_memory_map(struct page_memory *memory);

void page_memory_unmap(struct page_memory *memory);

/* Halves of one head of one page, keys or values alike. */
static inline size_t page_memory_head_halves(const struct page_memory *memory) {
    return (size_t)memory->head_size * PAGE_TOKENS;
}

/* Where the keys, and in the other mapping the values, of one head of one page begin, in halves. */
static inline size_t page_memory_at(const struct page_memory *memory, int layer, int page, int head) {
    return (((size_t)layer * memory->pages + page) * memory->kv_heads + head) * page_memory_head_halves(memory);
}

/* Writes one token's keys of all heads, kv_heads * head_size floats, into its slot (page * 16 + offset). */
void page_memory_write_keys(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                            const float *source);

/* The same for its values. */
void page_memory_write_values(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                              const float *source);

/* Copies keys and values of a page over another page, in all layers. */
void page_memory_copy(const struct page_memory *memory, int source, int target);

#endif
