/*
 * GNU vector types, which gcc and clang turn into whatever the target has. Vectors are as wide as the sums are kept
 * apart, so the order of additions, and with it every bit, is the same whatever the target's own width.
 */
#include "token_selection.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* How vectors are passed does not matter where every function that takes one is inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define LANES 16
#define SUMS 8

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef double wide __attribute__((vector_size(SUMS * 8)));
typedef int64_t wide_int __attribute__((vector_size(SUMS * 8)));
typedef float narrow __attribute__((vector_size(SUMS * 4)));

INLINE vec load(const float *p) {
    vec x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE vec highest_of(vec a, vec b) {
    const mask higher = a > b;
    return (vec)(((mask)a & higher) | ((mask)b & ~higher));
}

/* Values are looked at in pieces; only pieces that hold something of interest are looked at one by one. */
#define PIECE 256

static float piece_max(const float *values) {
    vec a = load(values), b = load(values + LANES), c = load(values + 2 * LANES), d = load(values + 3 * LANES);
    for (int i = 4 * LANES; i < PIECE; i += 4 * LANES) {
        a = highest_of(load(values + i), a);
        b = highest_of(load(values + i + LANES), b);
        c = highest_of(load(values + i + 2 * LANES), c);
        d = highest_of(load(values + i + 3 * LANES), d);
    }
    a = highest_of(highest_of(a, b), highest_of(c, d));
    float highest = a[0];
    for (int i = 1; i < LANES; i++) highest = a[i] > highest ? a[i] : highest;
    return highest;
}

static float range_max(const float *values, int32_t count) {
    if (count == PIECE) return piece_max(values);
    float highest = values[0];
    for (int32_t i = 1; i < count; i++) highest = values[i] > highest ? values[i] : highest;
    return highest;
}

static int32_t piece_length(int32_t start, int32_t count) { return count - start < PIECE ? count - start : PIECE; }

int32_t quire_arg_max(const float *values, int32_t count) {
    float highest = values[0];
    int32_t best_piece = 0;
    for (int32_t start = 0; start < count; start += PIECE) {
        const float max = range_max(values + start, piece_length(start, count));
        if (max > highest) {
            highest = max;
            best_piece = start;
        }
    }
    for (int32_t i = best_piece; i < count; i++) {
        if (values[i] == highest) return i;
    }
    return 0;
}

/* A heap of indices with the worst on top. The order by value, then by index, is total, so the outcome is unique. */
static int is_worse(const float *values, int32_t a, int32_t b) {
    return values[a] < values[b] || (values[a] == values[b] && a > b);
}

static void sink(const float *values, int32_t *heap, int32_t from, int32_t count) {
    const int32_t item = heap[from];
    int32_t i = from;
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= count) break;
        if (child + 1 < count && is_worse(values, heap[child + 1], heap[child])) child++;
        if (!is_worse(values, heap[child], item)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
}

void quire_top_indices(const float *values, int32_t count, int32_t k, int32_t *indices) {
    if (k <= 0) return;
    for (int32_t i = 0; i < k; i++) indices[i] = i;
    for (int32_t i = k / 2 - 1; i >= 0; i--) sink(values, indices, i, k);
    for (int32_t start = k; start < count; start += PIECE) {
        const int32_t length = piece_length(start, count);
        if (range_max(values + start, length) <= values[indices[0]]) continue;
        for (int32_t i = start; i < start + length; i++) {
            if (values[i] > values[indices[0]]) {
                indices[0] = i;
                sink(values, indices, 0, k);
            }
        }
    }
    for (int32_t last = k - 1; last > 0; last--) {
        const int32_t worst = indices[0];
        indices[0] = indices[last];
        indices[last] = worst;
        sink(values, indices, 0, last);
    }
}

int32_t quire_count_above(const float *values, int32_t count, float value) {
    int32_t above = 0;
    for (int32_t i = 0; i < count; i++) above += values[i] > value;
    return above;
}

int32_t quire_at_least(const float *values, int32_t count, float lowest, int32_t *indices) {
    int32_t kept = 0;
    for (int32_t start = 0; start < count; start += PIECE) {
        const int32_t length = piece_length(start, count);
        if (range_max(values + start, length) < lowest) continue;
        for (int32_t i = start; i < start + length; i++) {
            if (values[i] >= lowest) indices[kept++] = i;
        }
    }
    return kept;
}

/* e^x for x ≤ 0, 0 below LOWEST_EXPONENT: 2^n · e^r with |r| ≤ ln(2) / 2, and e^r by its Taylor series. */
#define LOWEST_EXPONENT (-708.0)
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa0000p-1
#define LN2_LOW 0x1.cf79abc9e3b3ap-40
/* Adding it rounds to a whole number, which then stands in the lowest bits. */
#define ROUNDER 0x1.8p52

static const double RECIPROCAL_FACTORIALS[] = {
    1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1.0, 1.0,
};

INLINE wide splat(double x) { return x - (wide){0}; }

INLINE wide exponential(wide x) {
    const wide_int is_zero = x < splat(LOWEST_EXPONENT);
    x = (wide)((wide_int)x & ~is_zero);
    const wide rounded = x * splat(LOG2_E) + splat(ROUNDER);
    const wide n = rounded - splat(ROUNDER);
    const wide r = (x - n * splat(LN2_HIGH)) - n * splat(LN2_LOW);
    wide power = splat(RECIPROCAL_FACTORIALS[0]);
    for (unsigned i = 1; i < sizeof RECIPROCAL_FACTORIALS / sizeof *RECIPROCAL_FACTORIALS; i++) {
        power = power * r + splat(RECIPROCAL_FACTORIALS[i]);
    }
    const wide scale = (wide)(((wide_int)rounded + 1023) << 52);
    return (wide)((wide_int)(power * scale) & ~is_zero);
}

INLINE wide weights_of(narrow values, double highest, double sharpness) {
    return exponential((__builtin_convertvector(values, wide) - splat(highest)) * splat(sharpness));
}

double quire_weigh(const float *values, int32_t count, float highest, double temperature, double *weights) {
    /* Finite, so that the highest value keeps its weight of 1 at any temperature above 0. */
    const double sharpness = fmin(1 / temperature, DBL_MAX);
    wide sums = splat(0);
    int32_t i = 0;
    for (; i + SUMS <= count; i += SUMS) {
        narrow x;
        memcpy(&x, values + i, sizeof x);
        const wide weight = weights_of(x, highest, sharpness);
        if (weights != NULL) memcpy(weights + i, &weight, sizeof weight);
        sums += weight;
    }
    if (i < count) {
        const size_t left = (size_t)(count - i);
        /* e^−∞ = 0 */
        narrow x = -INFINITY - (narrow){0};
        memcpy(&x, values + i, left * sizeof *values);
        const wide weight = weights_of(x, highest, sharpness);
        if (weights != NULL) memcpy(weights + i, &weight, left * sizeof *weights);
        sums += weight;
    }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/* Whole numbers in the order of the floats, made of their bits; the two zeros are one. */
INLINE uint32_t order_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return value < 0 ? ~bits : bits | 0x80000000u;
}

INLINE float value_of(uint32_t order) {
    const uint32_t bits = order & 0x80000000u ? order & ~0x80000000u : ~order;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Orders are read in digits of 11, 11 and 10 bits. */
#define DIGITS 2048
static const struct {
    int shift;
    uint32_t mask;
} PARTS[] = {{21, 2047}, {10, 2047}, {0, 1023}};

/*
 * Where scores by weight are counted into digits, neighbours go to tables of their own: few digits occur, and one
 * table's entry would have to wait for its last addition time and again.
 */
#define TABLES 4

struct weights_by_digit {
    double weight[TABLES][DIGITS];
    uint8_t occurs[DIGITS];
};

/*
 * Walks down from the highest digit that occurs until the mass is reached, at the latest to the lowest one. Adds to
 * `above` the weight of those before.
 */
static uint32_t border_digit(const struct weights_by_digit *by_digit, double mass, double *above) {
    uint32_t digit = DIGITS - 1;
    uint32_t lowest = 0;
    while (!by_digit->occurs[digit]) digit--;
    while (!by_digit->occurs[lowest]) lowest++;
    for (;; digit--) {
        const double weight = (by_digit->weight[0][digit] + by_digit->weight[1][digit]) +
                              (by_digit->weight[2][digit] + by_digit->weight[3][digit]);
        if (digit <= lowest || !(*above + weight < mass)) return digit;
        *above += weight;
    }
}

/*
 * The score at which the mass is reached is found digit by digit, as by a radix sort that looks only where it must. The
 * first digit is of interest for all scores, the next ones for those that begin like the border.
 */
int32_t quire_nucleus(const float *scores, const double *weights, int32_t count, double mass, int32_t *indices) {
    struct weights_by_digit by_digit;
    double sum = 0;
    uint32_t border = 0;
    uint32_t known = 0;
    int32_t candidates = count;
    for (int part = 0; part < 3; part++) {
        memset(&by_digit, 0, sizeof by_digit);
        for (int32_t c = 0; c < candidates; c++) {
            const int32_t i = part == 0 ? c : indices[c];
            const uint32_t digit = order_of(scores[i]) >> PARTS[part].shift & PARTS[part].mask;
            by_digit.weight[c % TABLES][digit] += weights[i];
            by_digit.occurs[digit] = 1;
        }
        border |= border_digit(&by_digit, mass, &sum) << PARTS[part].shift;
        known |= PARTS[part].mask << PARTS[part].shift;
        int32_t kept = 0;
        for (int32_t c = 0; c < candidates; c++) {
            const int32_t i = part == 0 ? c : indices[c];
            indices[kept] = i;
            kept += (order_of(scores[i]) & known) == border;
        }
        candidates = kept;
    }
    /* What is left are the scores at the border itself; as many as are needed are in. */
    int32_t last = -1;
    for (int32_t c = 0; c < candidates && (c == 0 || sum < mass); c++) {
        last = indices[c];
        sum += weights[last];
    }
    const float lowest = value_of(border);
    int32_t kept = 0;
    for (int32_t start = 0; start < count; start += PIECE) {
        const int32_t length = piece_length(start, count);
        if (range_max(scores + start, length) < lowest) continue;
        for (int32_t i = start; i < start + length; i++) {
            const uint32_t order = order_of(scores[i]);
            if (order > border || (order == border && i <= last)) indices[kept++] = i;
        }
    }
    return kept;
}

void quire_mask(const float *values, const int32_t *mask, int32_t count, float *kept) {
    for (int32_t start = 0; start < count; start += 32) {
        const uint32_t word = (uint32_t)mask[start / 32];
        const int32_t end = start + 32 < count ? start + 32 : count;
        for (int32_t i = start; i < end; i++) kept[i] = word >> (i - start) & 1 ? values[i] : -INFINITY;
    }
}
