/*
 * The key/value pages of one model: 16 tokens each, in one mapping.
 *
 *   [layer][page][kv head]{ keys [d][token], values [token][d] }
 *
 * A panel of 16 keys per d lets 16 scores grow side by side in one vector. Values are halves, or, in Q8_0 pages, 8-bit
 * integers; then keys are followed by their scales [d / 32][token] in halves, and values by theirs [token][d / 32].
 *
 * In I16 pages they are 16-bit integers, in pairs whose products are taken together: keys [d / 2][token][2], values
 * [token / 2][d][2], each followed by units [token] in floats.
 */
#ifndef QUIRE_PAGE_MEMORY_H
#define QUIRE_PAGE_MEMORY_H

#include "kernel.h"
#include "quire_attention.h"

#include <stdatomic.h>

struct page_memory {
    int layers;
    int kv_heads;
    int head_size;
    int pages;
    enum quire_page_type type;
    size_t bytes;
    char *memory;
    /* Of a shared mapping only; see page_memory_share. */
    size_t tail_offset;
    unsigned char *backed_pages; /* [pages], whether all of the page's memory has been taken */
    atomic_uchar *backed_extents; /* the same for every HUGE_PAGE_BYTES of the mapping */
    atomic_bool backing, stop_backing; /* of page_memory_back_ahead */
};

/* Reserves the mapping; the other members are set. Returns false when the machine refuses. */
bool page_memory_map(struct page_memory *memory);

void page_memory_unmap(struct page_memory *memory);

/*
 * Puts a shared mapping (shared_memory.h) in the place of the private one, before anything is written: of `descriptor`, or
 * of a new file if that is -1. The pages are followed by `tail_bytes` for the caller. Returns the file's descriptor, or -1
 * when it does not fit or the machine has no such memory: then nothing has changed.
 */
int page_memory_share(struct page_memory *memory, int descriptor, size_t tail_bytes);

/* To be called before a page is written. */
void page_memory_back(struct page_memory *memory, int page);

/*
 * Does so for pages from the first on, for at most `bytes` of them, beside whatever else is done with the memory. Ends early
 * when the memory is to be unmapped, which waits for that from when `backing` is set.
 */
void page_memory_back_ahead(struct page_memory *memory, size_t bytes);

/* Any change of the bytes of these pages, of all layers, changes this; if it is of one word, for certain. */
uint64_t page_memory_sum(const struct page_memory *memory, int first_page, int pages);

/* Bytes of one head's keys in a page, and of its values. */
static inline size_t page_half_bytes(enum quire_page_type type, int head_size) {
    const size_t values = (size_t)head_size * PAGE_TOKENS;
    if (type == QUIRE_PAGES_F16) return values * sizeof(uint16_t);
    if (type == QUIRE_PAGES_I16) return values * sizeof(int16_t) + PAGE_TOKENS * sizeof(float);
    return values + values / SCALE_VALUES * sizeof(uint16_t);
}

/* Where one head's part of a page begins. */
static inline char *page_memory_at(const struct page_memory *memory, int layer, int page, int head) {
    const size_t index = ((size_t)layer * memory->pages + page) * memory->kv_heads + head;
    return memory->memory + index * 2 * page_half_bytes(memory->type, memory->head_size);
}

/* Writes one token's key of one head, head_size floats, into its slot (page * 16 + offset). */
void page_memory_write_key(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot, int head,
                           const float *source);

/* The same for its value. */
void page_memory_write_value(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                             int head, const float *source);

/* Copies keys and values of a page over another page, in all layers. */
void page_memory_copy(const struct page_memory *memory, int source, int target);

#endif
