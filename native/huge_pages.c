/* madvise is not in ISO C. */
#define _GNU_SOURCE

#include "huge_pages.h"

#ifdef __linux__
#include <sys/mman.h>

/* Of Linux 6.1; the C library's headers may be older than the kernel. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

bool huge_page_back(char *memory) {
    /* A range of which nothing has been taken yet is none that could be collapsed. */
    (void)*(volatile char *)memory;
    return madvise(memory, HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0;
}

#else

bool huge_page_back(char *memory) {
    (void)memory;
    return false;
}

#endif
