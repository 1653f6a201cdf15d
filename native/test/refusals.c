#include "refusals.h"

#include "nodes.h"

#include <stdio.h>
#include <string.h>

enum { PAGES = 4, PAGE_TOKENS = 16, MAX_ROWS = 3 };

struct wrong_shape {
    const char *what;
    struct quire_shape shape;
    const char *reason; /* what the message has to name */
};

static const struct wrong_shape wrong_shapes[] = {
    {"no layers", {.layers = 0, .kv_heads = 1, .head_size = 64, .pages = 1}, "layer"},
    {"no heads", {.layers = 1, .kv_heads = 0, .head_size = 64, .pages = 1}, "head"},
    {"no pages", {.layers = 1, .kv_heads = 1, .head_size = 64, .pages = 0}, "page"},
    {"heads of no values", {.layers = 1, .kv_heads = 1, .head_size = 0, .pages = 1}, "size"},
    {"heads of odd size", {.layers = 1, .kv_heads = 1, .head_size = 72, .pages = 1}, "size"},
    {"heads that are too large", {.layers = 1, .kv_heads = 1, .head_size = 272, .pages = 1}, "size"},
    {"half a scale", {.layers = 1, .kv_heads = 1, .head_size = 80, .pages = 1, .page_type = QUIRE_PAGES_Q8_0}, "size"},
    {"pages of no type", {.layers = 1, .kv_heads = 1, .head_size = 64, .pages = 1, .page_type = 7}, "type"},
    {"a negative window", {.layers = 1, .kv_heads = 1, .head_size = 64, .pages = 1, .window = -1}, "window"},
    {"more bytes than addresses",
     {.layers = 100000, .kv_heads = 100000, .head_size = 256, .pages = INT32_MAX},
     "memory"},
};

struct wrong_step {
    const char *what;
    int32_t rows;
    int32_t positions[MAX_ROWS], slots[MAX_ROWS], offsets[MAX_ROWS];
    int32_t tables[PAGES], entries;
    const char *reason;
};

static const struct wrong_step wrong_steps[] = {
    {"no rows", 0, {0}, {0}, {0}, {0}, 1, "row"},
    {"fewer rows than none", -1, {0}, {0}, {0}, {0}, 1, "row"},
    {"a negative position", 1, {-1}, {0}, {0}, {0}, 1, "position"},
    {"a slot behind the pages", 1, {0}, {PAGES * PAGE_TOKENS}, {0}, {0}, 1, "slot"},
    {"a slot before the pages", 1, {0}, {-1}, {0}, {0}, 1, "slot"},
    {"a page behind the last", 1, {0}, {0}, {0}, {PAGES}, 1, "page"},
    {"a page before the first", 2, {15, 16}, {15, 16}, {0, 0}, {0, -1}, 2, "page"},
    {"a table that ends before its sequence", 1, {16}, {16}, {0}, {0}, 1, "table"},
    {"a table behind the tables", 1, {0}, {0}, {1}, {0}, 1, "table"},
    {"a table before the tables", 1, {0}, {0}, {-1}, {0}, 1, "table"},
    {"no tables", 1, {0}, {0}, {0}, {0}, 0, "table"},
    {"the wrong row behind right ones", 3, {0, 1, 2}, {0, 1, 64}, {0, 0, 0}, {0}, 1, "slot"},
    {"a position that no table reaches", 1, {INT32_MAX}, {0}, {0}, {0}, 1, "table"},
};

/* Whether a call that should have failed did so, and said why. */
static int judge(const char *level, const char *what, int refused, const char *error, const char *reason) {
    if (refused && strstr(error, reason) != NULL) return 0;
    printf("%s: %s: %s%s\n", level, what, refused ? "refused without naming the reason: " : "accepted",
           refused ? error : "");
    return 1;
}

int check_refusals(const char *level) {
    int wrong = 0;
    char error[QUIRE_ERROR_BYTES] = "";
    for (size_t i = 0; i < sizeof wrong_shapes / sizeof wrong_shapes[0]; i++) {
        struct quire_attention *handle = quire_open(&wrong_shapes[i].shape, level, &node_codes, error);
        wrong += judge(level, wrong_shapes[i].what, handle == NULL, error, wrong_shapes[i].reason);
        if (handle != NULL) quire_close(handle);
    }

    const struct quire_shape shape = {.layers = 1, .kv_heads = 1, .head_size = 16, .pages = PAGES};
    struct quire_attention *handle = quire_open(&shape, "sse9", &node_codes, error);
    wrong += judge(level, "an instruction set of another name", handle == NULL, error, "sse9");
    handle = quire_open(&shape, level, &node_codes, error);
    if (handle == NULL) {
        printf("%s: a right shape: refused: %s\n", level, error);
        return wrong + 1;
    }
    for (size_t i = 0; i < sizeof wrong_steps / sizeof wrong_steps[0]; i++) {
        const struct wrong_step *step = &wrong_steps[i];
        const int refused = quire_begin_step(handle, step->rows, step->positions, step->slots, step->offsets,
                                             step->tables, step->entries, error) != 0;
        wrong += judge(level, step->what, refused, error, step->reason);
    }
    const int32_t pairs[][2] = {{0, PAGES}, {PAGES, 0}, {-1, 0}, {0, -1}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        wrong += judge(level, "a copy of no page", quire_copy_page(handle, pairs[i][0], pairs[i][1]) != 0, "", "");
    }
    quire_close(handle);
    return wrong;
}
