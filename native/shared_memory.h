/*
 * Memory in a file without a name (memfd_create), so that it outlives the process: whoever else holds the descriptor can
 * hand it to the next one. Linux alone has it.
 */
#ifndef QUIRE_SHARED_MEMORY_H
#define QUIRE_SHARED_MEMORY_H

#include <stddef.h>

enum { HUGE_PAGE_BYTES = 1 << 21 };

/* A new one of so many bytes, all zeros and taken only as they are written. Returns its descriptor, or -1. */
int shared_memory_create(size_t bytes);

/* Closes a descriptor that `shared_memory_create` gave; no effect for -1. */
void shared_memory_discard(int descriptor);

/*
 * Maps one, at a multiple of HUGE_PAGE_BYTES. Returns NULL when its size is another, and where shared memory cannot have
 * huge pages: private memory, which can, serves attention better than memory that is kept.
 */
char *shared_memory_map(int descriptor, size_t bytes);

void shared_memory_unmap(char *memory, size_t bytes);

/*
 * Puts the HUGE_PAGE_BYTES from `memory` on, a multiple of that, into one huge page, with what they hold. As systems are
 * set up, this has to be asked for: writing alone brings small pages. If it fails, those serve.
 */
void shared_memory_back(char *memory);

#endif
