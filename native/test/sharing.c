#include "sharing.h"

#include "nodes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#ifdef __linux__
#include <unistd.h>
static void forget(int descriptor) { close(descriptor); }
#else
static void forget(int descriptor) { (void)descriptor; }
#endif

enum { PAGES = 700, LAYERS = 2, HEADS = 3, HEAD_SIZE = 32, PAGE_TOKENS = 16, TAIL_BYTES = 1000 };

static struct quire_attention *open_pages(const char *level, enum quire_page_type type, int pages) {
    const struct quire_shape shape = {
        .layers = LAYERS, .kv_heads = HEADS, .head_size = HEAD_SIZE, .pages = pages, .page_type = type};
    char error[QUIRE_ERROR_BYTES];
    return quire_open(&shape, level, &node_codes, error);
}

/* Writes one row of one token into the first slot of a page. */
static bool write_row(struct quire_attention *handle, int page, int layer, float value) {
    const int32_t position = 0, slot = page * PAGE_TOKENS, offset = 0, table = page;
    char error[QUIRE_ERROR_BYTES];
    if (quire_begin_step(handle, 1, &position, &slot, &offset, &table, 1, error) != 0) return false;
    float row[HEADS * HEAD_SIZE];
    for (int i = 0; i < HEADS * HEAD_SIZE; i++) row[i] = value + (float)i;
    quire_write_rows(handle, layer, 0, row, sizeof row, 0, 1);
    quire_write_rows(handle, layer, 1, row, sizeof row, 0, 1);
    return true;
}

static uint64_t sum(struct quire_attention *handle, int first, int count) {
    uint64_t result = 0;
    return quire_sum_pages(handle, first, count, &result) == 0 ? result : 0;
}

static int judge(const char *level, const char *what, bool is_right) {
    if (!is_right) printf("%s: shared pages: %s\n", level, what);
    return !is_right;
}

static int check_type(const char *level, enum quire_page_type type) {
    struct quire_attention *first = open_pages(level, type, PAGES);
    if (first == NULL) return judge(level, "no handle", false);
    int wrong = judge(level, "a tail without sharing", quire_tail(first) == NULL);
    const int descriptor = quire_share(first, -1, TAIL_BYTES);
    if (descriptor < 0) {
        printf("%s: no memory with huge pages to share\n", level);
        wrong += judge(level, "private pages are gone", write_row(first, PAGES - 1, 0, 1));
        quire_close(first);
        return wrong;
    }
    char *tail = quire_tail(first);
    const char zeros[TAIL_BYTES] = {0};
    wrong += judge(level, "a new tail is not zero", memcmp(tail, zeros, TAIL_BYTES) == 0);
    wrong += judge(level, "shared twice", quire_share(first, -1, TAIL_BYTES) < 0);
    memset(tail, 7, TAIL_BYTES);
    for (int page = 0; page < PAGES; page += 9) {
        for (int layer = 0; layer < LAYERS; layer++) wrong += !write_row(first, page, layer, (float)(page + layer));
    }
    wrong += judge(level, "a copy fails", quire_copy_page(first, 9, 10) == 0);
    wrong += judge(level, "a copy has another sum", sum(first, 9, 1) == sum(first, 10, 1));
    wrong += judge(level, "other pages have the same sum", sum(first, 0, 1) != sum(first, 9, 1));
    uint64_t ignored;
    wrong += judge(level, "a sum of pages behind the last", quire_sum_pages(first, PAGES - 1, 2, &ignored) != 0);
    wrong += judge(level, "a sum of a page before the first", quire_sum_pages(first, -1, 1, &ignored) != 0);
    uint64_t sums[PAGES];
    for (int page = 0; page < PAGES; page++) sums[page] = sum(first, page, 1);
    const uint64_t pair = sum(first, 8, 2);
    quire_close(first);

    struct quire_attention *other = open_pages(level, type, PAGES + 1000);
    wrong += judge(level, "memory of another size is taken", other != NULL && quire_share(other, descriptor, TAIL_BYTES) < 0);
    if (other != NULL) quire_close(other);

    struct quire_attention *second = open_pages(level, type, PAGES);
    if (second == NULL || quire_share(second, descriptor, TAIL_BYTES) != descriptor) {
        if (second != NULL) quire_close(second);
        forget(descriptor);
        return wrong + judge(level, "memory that was left is not taken", false);
    }
    quire_expect_backing(second);
    quire_back_ahead(second, SIZE_MAX);
    tail = quire_tail(second);
    for (int i = 0; i < TAIL_BYTES; i++) wrong += tail[i] != 7;
    int different = 0;
    for (int page = 0; page < PAGES; page++) different += sum(second, page, 1) != sums[page];
    wrong += judge(level, "pages differ from what was left", different == 0 && sum(second, 8, 2) == pair);
    wrong += judge(level, "no step", write_row(second, 9, 1, 4));
    wrong += judge(level, "a sum of what was overwritten", sum(second, 9, 1) != sums[9] && sum(second, 8, 2) != pair);
    wrong += judge(level, "a write spread", sum(second, 0, 1) == sums[0] && sum(second, 10, 1) == sums[10]);
    quire_close(second);
    forget(descriptor);
    return wrong;
}

int check_sharing(const char *level) {
    return check_type(level, QUIRE_PAGES_F16) + check_type(level, QUIRE_PAGES_Q8_0) + check_type(level, QUIRE_PAGES_I16);
}
