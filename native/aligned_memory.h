/* Memory that starts on a boundary of the caller's choice. */
#ifndef QUIRE_ALIGNED_MEMORY_H
#define QUIRE_ALIGNED_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#ifdef _WIN32
#include <malloc.h>
#endif

/* `alignment` is a power of two. Returns NULL when there is no memory. */
static inline void *aligned_memory_get(size_t alignment, size_t bytes) {
#ifdef _WIN32
    return _aligned_malloc(bytes, alignment);
#else
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#endif
}

static inline void aligned_memory_free(void *memory) {
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

#endif
