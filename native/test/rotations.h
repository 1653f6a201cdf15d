/* Rotary embeddings that graphs leave to attention. */
#ifndef QUIRE_TEST_ROTATIONS_H
#define QUIRE_TEST_ROTATIONS_H

#include <stdint.h>

/* Tells what is wrong; returns how much. */
int check_rotations(const char *level, uint64_t seed);

#endif
