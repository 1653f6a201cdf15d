/* MAP_ANONYMOUS and madvise are not in ISO C. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "page_memory.h"

#include "aligned_memory.h"

#include <string.h>

enum { MAX_HEAD_SIZE = 256, HUGE_PAGE_BYTES = 1 << 21 };

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>

/* Not reserving swap lets the mapping be as large as the user asked, however little of it will be written. */
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

static uint16_t *map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    /* A wish: attention jumps between pages, and small ones would make it wait for address translations. */
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

static void unmap(uint16_t *memory, size_t bytes) { munmap(memory, bytes); }

#else

static uint16_t *map(size_t bytes) { return aligned_memory_get(HUGE_PAGE_BYTES, bytes); }
static void unmap(uint16_t *memory, size_t bytes) {
    (void)bytes;
    aligned_memory_free(memory);
}

#endif

bool page_memory_map(struct page_memory *memory) {
    const size_t page = (size_t)memory->layers * memory->kv_heads * page_memory_head_halves(memory) * sizeof(uint16_t);
    if ((SIZE_MAX - HUGE_PAGE_BYTES) / page < (size_t)memory->pages) return false;
    memory->bytes = (page * memory->pages + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    memory->keys = map(memory->bytes);
    memory->values = map(memory->bytes);
    if (memory->keys != NULL && memory->values != NULL) return true;
    page_memory_unmap(memory);
    return false;
}

void page_memory_unmap(struct page_memory *memory) {
    if (memory->keys != NULL) unmap(memory->keys, memory->bytes);
    if (memory->values != NULL) unmap(memory->values, memory->bytes);
    memory->keys = NULL;
    memory->values = NULL;
}

void page_memory_write_keys(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                            const float *source) {
    const int page = slot / PAGE_TOKENS;
    const int offset = slot % PAGE_TOKENS;
    uint16_t halves[MAX_HEAD_SIZE];
    for (int head = 0; head < memory->kv_heads; head++) {
        kernel->narrow(source + (size_t)head * memory->head_size, halves, memory->head_size);
        uint16_t *target = memory->keys + page_memory_at(memory, layer, page, head) + offset;
        for (int d = 0; d < memory->head_size; d++) target[d * PAGE_TOKENS] = halves[d];
    }
}

void page_memory_write_values(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                              const float *source) {
    const int page = slot / PAGE_TOKENS;
    const int offset = slot % PAGE_TOKENS;
    for (int head = 0; head < memory->kv_heads; head++) {
        uint16_t *target = memory->values + page_memory_at(memory, layer, page, head) + offset * memory->head_size;
        kernel->narrow(source + (size_t)head * memory->head_size, target, memory->head_size);
    }
}

void page_memory_copy(const struct page_memory *memory, int source, int target) {
    const size_t bytes = memory->kv_heads * page_memory_head_halves(memory) * sizeof(uint16_t);
    for (int layer = 0; layer < memory->layers; layer++) {
        const size_t from = page_memory_at(memory, layer, source, 0);
        const size_t to = page_memory_at(memory, layer, target, 0);
        memcpy(memory->keys + to, memory->keys + from, bytes);
        memcpy(memory->values + to, memory->values + from, bytes);
    }
}
