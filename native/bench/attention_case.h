/* One way to use attention, and how long it takes. */
#ifndef QUIRE_BENCH_ATTENTION_CASE_H
#define QUIRE_BENCH_ATTENTION_CASE_H

#include "team.h"

#include <stdint.h>

/* A step of `sequences` sequences of `positions` positions each, the first `shared` of them in the same pages. */
struct attention_case {
    const char *level;
    int32_t page_type; /* enum quire_page_type */
    int32_t kv_heads;
    int32_t group; /* query heads to a kv head */
    int32_t head_size;
    int32_t sequences;
    int32_t rows; /* of each sequence: its last positions */
    int32_t positions;
    int32_t shared; /* a multiple of 16 */
};

/*
 * Measures quire_attend in one layer over pages that no cache holds any more, and prints a JSON object: "seconds" of
 * a layer (median), its "flops" (4 * head_size for each query head and position that a row sees) and the "bytes" of
 * the pages that it has to read at least once. Ends the program when the library refuses the case.
 */
void attention_case_print(const struct attention_case *test, struct team *team);

#endif
