/* RMS norms in graphs: that those which can be are rewritten, and compute what they did. */
#ifndef QUIRE_TEST_NORMS_H
#define QUIRE_TEST_NORMS_H

#include <stdint.h>

/* Tells what is wrong; returns how much. */
int check_norms(const char *level, uint64_t seed);

#endif
