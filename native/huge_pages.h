/* Memory in pages of two megabytes, where the system has them: address translation is then no part of reading it. */
#ifndef QUIRE_HUGE_PAGES_H
#define QUIRE_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

enum { HUGE_PAGE_BYTES = 1 << 21 };

/*
 * Puts the HUGE_PAGE_BYTES from `memory` on, a multiple of that, into one huge page, with what they hold. As systems are
 * set up, this has to be asked for: writing alone brings small pages. False where the system cannot; what was there serves.
 */
bool huge_page_back(char *memory);

#endif
