/* MAP_ANONYMOUS and madvise are not in ISO C. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "page_memory.h"

#include "aligned_memory.h"
#include "shared_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>

/* Not reserving swap lets the mapping be as large as the user asked, however little of it will be written. */
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

static char *map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    /* A wish: attention jumps between pages, and small ones would make it wait for address translations. */
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

static void unmap(char *memory, size_t bytes) { munmap(memory, bytes); }

static void system_pause(void) { usleep(100); }

#else

static char *map(size_t bytes) { return aligned_memory_get(HUGE_PAGE_BYTES, bytes); }
static void unmap(char *memory, size_t bytes) {
    (void)bytes;
    aligned_memory_free(memory);
}

static void system_pause(void) {}

#endif

/* One head's part of a page. */
static size_t part_bytes(const struct page_memory *memory) {
    return 2 * page_half_bytes(memory->type, memory->head_size);
}

/* All heads' parts, which lie side by side. */
static size_t layer_bytes(const struct page_memory *memory) { return memory->kv_heads * part_bytes(memory); }

bool page_memory_map(struct page_memory *memory) {
    const size_t page = (size_t)memory->layers * memory->kv_heads * part_bytes(memory);
    if ((SIZE_MAX - HUGE_PAGE_BYTES) / page < (size_t)memory->pages) return false;
    memory->bytes = (page * memory->pages + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    memory->memory = map(memory->bytes);
    return memory->memory != NULL;
}

void page_memory_unmap(struct page_memory *memory) {
    if (memory->memory == NULL) return;
    atomic_store(&memory->stop_backing, true);
    while (atomic_load(&memory->backing)) system_pause();
    if (memory->tail_offset == 0) unmap(memory->memory, memory->bytes);
    else shared_memory_unmap(memory->memory, memory->bytes);
    free(memory->backed_pages);
    free((void *)memory->backed_extents);
    memory->memory = NULL;
}

int page_memory_share(struct page_memory *memory, int descriptor, size_t tail_bytes) {
    const size_t tail_offset = memory->bytes;
    if (tail_bytes > SIZE_MAX - tail_offset || memory->tail_offset != 0) return -1;
    const size_t bytes = tail_offset + tail_bytes;
    unsigned char *backed_pages = calloc((size_t)memory->pages, 1);
    atomic_uchar *backed_extents = calloc(tail_offset / HUGE_PAGE_BYTES, sizeof *backed_extents);
    const int file = descriptor >= 0 ? descriptor : shared_memory_create(bytes);
    char *shared = backed_pages == NULL || backed_extents == NULL ? NULL : shared_memory_map(file, bytes);
    if (shared == NULL) {
        if (file != descriptor) shared_memory_discard(file);
        free(backed_pages);
        free((void *)backed_extents);
        return -1;
    }
    unmap(memory->memory, memory->bytes);
    memory->memory = shared;
    memory->bytes = bytes;
    memory->tail_offset = tail_offset;
    memory->backed_pages = backed_pages;
    memory->backed_extents = backed_extents;
    return file;
}

/* The extents that a page lies in, in one layer. Two threads may come to the same one: then both back it. */
static void back_extents(struct page_memory *memory, int layer, int page) {
    const size_t first = (size_t)(page_memory_at(memory, layer, page, 0) - memory->memory);
    const size_t last = (first + layer_bytes(memory) - 1) / HUGE_PAGE_BYTES;
    for (size_t extent = first / HUGE_PAGE_BYTES; extent <= last; extent++) {
        if (atomic_load_explicit(&memory->backed_extents[extent], memory_order_relaxed)) continue;
        shared_memory_back(memory->memory + extent * HUGE_PAGE_BYTES);
        atomic_store_explicit(&memory->backed_extents[extent], 1, memory_order_relaxed);
    }
}

void page_memory_back(struct page_memory *memory, int page) {
    if (memory->tail_offset == 0 || memory->backed_pages[page]) return;
    memory->backed_pages[page] = 1;
    for (int layer = 0; layer < memory->layers; layer++) back_extents(memory, layer, page);
}

void page_memory_back_ahead(struct page_memory *memory, size_t bytes) {
    const size_t wanted = memory->tail_offset == 0 ? 0 : bytes / (memory->layers * layer_bytes(memory));
    const int pages = wanted < (size_t)memory->pages ? (int)wanted : memory->pages;
    for (int page = 0; page < pages; page++) {
        for (int layer = 0; layer < memory->layers && !atomic_load(&memory->stop_backing); layer++) {
            back_extents(memory, layer, page);
        }
    }
    atomic_store(&memory->backing, false);
}

/*
 * Several chains side by side, each of steps that can be undone: a change of one word cannot vanish, one of several can
 * by a chance of 2^-64. The odd constants are those of splitmix64 (Steele et al. 2014).
 */
enum { SUM_CHAINS = 8 };

static uint64_t mix(uint64_t sum, uint64_t word) {
    sum = (sum ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
    return sum ^ sum >> 31;
}

uint64_t page_memory_sum(const struct page_memory *memory, int first_page, int pages) {
    uint64_t chains[SUM_CHAINS] = {0}, words[SUM_CHAINS];
    /* A head's part is a multiple of 16 values and tokens: whole words. The rest of a run is taken as one chain. */
    const size_t bytes = (size_t)pages * layer_bytes(memory);
    for (int layer = 0; layer < memory->layers; layer++) {
        const char *at = page_memory_at(memory, layer, first_page, 0);
        size_t offset = 0;
        for (; offset + sizeof words <= bytes; offset += sizeof words) {
            memcpy(words, at + offset, sizeof words);
            for (int i = 0; i < SUM_CHAINS; i++) chains[i] = mix(chains[i], words[i]);
        }
        for (; offset < bytes; offset += sizeof *words) {
            memcpy(words, at + offset, sizeof *words);
            chains[0] = mix(chains[0], words[0]);
        }
    }
    uint64_t sum = UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < SUM_CHAINS; i++) sum = mix(sum, chains[i]);
    return sum;
}

/* SCALE_VALUES floats as integers times `scale`, which is rounded to a half. */
static uint16_t quantize(const struct kernel *kernel, const float *source, int8_t *target) {
    float largest = 0;
    for (int i = 0; i < SCALE_VALUES; i++) largest = fmaxf(largest, fabsf(source[i]));
    /* `narrow` takes whole vectors. */
    const float scale[PAGE_TOKENS] = {largest / INT8_MAX};
    uint16_t half[PAGE_TOKENS];
    kernel->narrow(scale, half, PAGE_TOKENS);
    const float inverse = largest > 0 ? INT8_MAX / largest : 0;
    for (int i = 0; i < SCALE_VALUES; i++) {
        /* The bounds are for what a broken model may give: no integer stands for NaN. */
        target[i] = (int8_t)fmaxf(-INT8_MAX, fminf(INT8_MAX, rintf(source[i] * inverse)));
    }
    return half[0];
}

void page_memory_write_key(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot, int head,
                           const float *source) {
    const int offset = slot % PAGE_TOKENS;
    char *keys = page_memory_at(memory, layer, slot / PAGE_TOKENS, head);
    if (memory->type == QUIRE_PAGES_F16) {
        uint16_t halves[MAX_HEAD_SIZE];
        kernel->narrow(source, halves, memory->head_size);
        uint16_t *target = (uint16_t *)keys + offset;
        for (int d = 0; d < memory->head_size; d++) target[d * PAGE_TOKENS] = halves[d];
        return;
    }
    if (memory->type == QUIRE_PAGES_I16) {
        int16_t shorts[MAX_HEAD_SIZE];
        page_units(keys, memory->head_size)[offset] =
            kernel->round_to_shorts(source, shorts, memory->head_size, VECTOR_LARGEST, VECTOR_NORM);
        char *target = keys + offset * 2 * sizeof *shorts;
        for (int d = 0; d < memory->head_size; d += 2) {
            memcpy(target + d * PAGE_TOKENS * sizeof *shorts, shorts + d, 2 * sizeof *shorts);
        }
        return;
    }
    int8_t *target = (int8_t *)keys + offset;
    uint16_t *scales = (uint16_t *)(keys + memory->head_size * PAGE_TOKENS) + offset;
    for (int d = 0; d < memory->head_size; d += SCALE_VALUES) {
        int8_t bytes[SCALE_VALUES];
        scales[d / SCALE_VALUES * PAGE_TOKENS] = quantize(kernel, source + d, bytes);
        for (int i = 0; i < SCALE_VALUES; i++) target[(d + i) * PAGE_TOKENS] = bytes[i];
    }
}

void page_memory_write_value(const struct page_memory *memory, const struct kernel *kernel, int layer, int slot,
                             int head, const float *source) {
    const int offset = slot % PAGE_TOKENS;
    char *values = page_memory_at(memory, layer, slot / PAGE_TOKENS, head) +
                   page_half_bytes(memory->type, memory->head_size);
    if (memory->type == QUIRE_PAGES_F16) {
        kernel->narrow(source, (uint16_t *)values + offset * memory->head_size, memory->head_size);
        return;
    }
    if (memory->type == QUIRE_PAGES_I16) {
        int16_t shorts[MAX_HEAD_SIZE];
        page_units(values, memory->head_size)[offset] =
            kernel->round_to_shorts(source, shorts, memory->head_size, VALUE_LARGEST, INFINITY);
        int16_t *target = (int16_t *)values + offset / 2 * 2 * memory->head_size + offset % 2;
        for (int d = 0; d < memory->head_size; d++) target[2 * d] = shorts[d];
        return;
    }
    int8_t *target = (int8_t *)values + offset * memory->head_size;
    const int count = memory->head_size / SCALE_VALUES;
    uint16_t *scales = (uint16_t *)(values + memory->head_size * PAGE_TOKENS) + offset * count;
    for (int i = 0; i < count; i++) {
        scales[i] = quantize(kernel, source + i * SCALE_VALUES, target + i * SCALE_VALUES);
    }
}

void page_memory_copy(const struct page_memory *memory, int source, int target) {
    for (int layer = 0; layer < memory->layers; layer++) {
        memcpy(page_memory_at(memory, layer, target, 0), page_memory_at(memory, layer, source, 0), layer_bytes(memory));
    }
}
