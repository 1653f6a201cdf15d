/* What this machine can do at best. */
#ifndef QUIRE_BENCH_PEAKS_H
#define QUIRE_BENCH_PEAKS_H

#include "team.h"

/*
 * Measures products-and-sums per second of floats, of BF16 and of 16- and 8-bit integers (where the CPU has instructions for
 * dot products of those), and bytes read per second from memory and from the second-level cache, by all threads of the
 * team together. Prints them as one JSON object.
 */
void peaks_print(struct team *team);

#endif
