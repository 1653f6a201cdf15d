/* memfd_create and madvise are not in ISO C. */
#define _GNU_SOURCE

#include "shared_memory.h"

#include <stdint.h>

#ifdef __linux__
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of Linux 6.1 and 6.3; the C library's headers may be older than the kernel. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

int shared_memory_create(size_t bytes) {
    int descriptor = memfd_create("quire-pages", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (descriptor < 0) descriptor = memfd_create("quire-pages", MFD_CLOEXEC);
    if (descriptor < 0) return -1;
    if (ftruncate(descriptor, (off_t)bytes) == 0) return descriptor;
    close(descriptor);
    return -1;
}

void shared_memory_discard(int descriptor) {
    if (descriptor >= 0) close(descriptor);
}

static bool back(char *memory) {
    /* A range of which nothing has been taken yet is none that could be collapsed. */
    (void)*(volatile char *)memory;
    return madvise(memory, HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0;
}

char *shared_memory_map(int descriptor, size_t bytes) {
    struct stat file;
    if (fstat(descriptor, &file) != 0 || !S_ISREG(file.st_mode) || (size_t)file.st_size != bytes) return NULL;
    /* Room for any alignment; what is too much is given back. */
    const size_t room = bytes + HUGE_PAGE_BYTES;
    char *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return NULL;
    char *aligned = reserved + (HUGE_PAGE_BYTES - (uintptr_t)reserved % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (aligned > reserved) munmap(reserved, (size_t)(aligned - reserved));
    /* Sizes of mappings are whole small pages, which `bytes` need not be; HUGE_PAGE_BYTES is a multiple of all of them. */
    const size_t system_page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t whole = (bytes + system_page - 1) / system_page * system_page;
    char *behind = aligned + whole;
    if (reserved + room > behind) munmap(behind, (size_t)(reserved + room - behind));
    char *memory = mmap(aligned, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
    if (memory == MAP_FAILED) {
        munmap(aligned, whole);
        return NULL;
    }
    (void)madvise(memory, whole, MADV_HUGEPAGE);
    if (bytes >= HUGE_PAGE_BYTES && back(memory)) return memory;
    shared_memory_unmap(memory, bytes);
    return NULL;
}

void shared_memory_unmap(char *memory, size_t bytes) { munmap(memory, bytes); }

void shared_memory_back(char *memory) { (void)back(memory); }

#else

int shared_memory_create(size_t bytes) {
    (void)bytes;
    return -1;
}

void shared_memory_discard(int descriptor) { (void)descriptor; }

char *shared_memory_map(int descriptor, size_t bytes) {
    (void)descriptor;
    (void)bytes;
    return NULL;
}

void shared_memory_unmap(char *memory, size_t bytes) {
    (void)memory;
    (void)bytes;
}

void shared_memory_back(char *memory) { (void)memory; }

#endif
