/* Random numbers that a seed repeats on every machine: SplitMix64 (Steele, Lea and Flood 2014). */
#ifndef QUIRE_TEST_RNG_H
#define QUIRE_TEST_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_bits(struct rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1). */
static inline double rng_unit(struct rng *rng) { return (double)(rng_bits(rng) >> 11) / 9007199254740992.0; }

/* Uniform in [low, high]. */
static inline int rng_int(struct rng *rng, int low, int high) {
    return low + (int)(rng_unit(rng) * ((double)high - low + 1));
}

static inline bool rng_chance(struct rng *rng, double probability) { return rng_unit(rng) < probability; }

static inline void rng_shuffle(struct rng *rng, int *values, int count) {
    for (int i = count - 1; i > 0; i--) {
        const int j = rng_int(rng, 0, i), value = values[i];
        values[i] = values[j];
        values[j] = value;
    }
}

#endif
