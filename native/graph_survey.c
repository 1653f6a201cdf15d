/* A look at what a model's graph asks of attention, before there are pages for it. */
#include "graph_names.h"
#include "quire_attention.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct quire_survey {
    struct quire_op_codes codes;
    bool long_rope;
    int32_t layers;
    struct quire_layer_facts facts[];
};

struct quire_survey *quire_survey_open(int32_t layers, const struct quire_op_codes *codes) {
    struct quire_survey *survey = calloc(1, sizeof *survey + (size_t)layers * sizeof *survey->facts);
    if (survey == NULL) return NULL;
    survey->codes = *codes;
    survey->layers = layers;
    return survey;
}

void quire_survey_begin(struct quire_survey *survey) {
    survey->long_rope = false;
    memset(survey->facts, 0, (size_t)survey->layers * sizeof *survey->facts);
}

/* Minus infinity in half precision, by which a mask hides a cell. Other values are kept distances, for ALiBi. */
enum { HIDDEN = 0xfc00, CELLS = 32 };

/* llama.cpp fills its inputs before it shows the graph. Masks that the model computes have other names, and no values. */
static uint32_t seen_cells(const struct ggml_tensor *mask, int64_t row) {
    if (mask == NULL || strcmp(mask->name, "attn_inp_kq_mask") != 0 || mask->nb[0] != sizeof(uint16_t)) return 0;
    if (mask->data == NULL || row >= mask->ne[1]) return 0;
    const uint16_t *values = (const uint16_t *)((const char *)mask->data + (size_t)row * mask->nb[1]);
    uint32_t seen = 0;
    for (int64_t cell = 0; cell < CELLS && cell < mask->ne[0]; cell++) {
        if (values[cell] != HIDDEN) seen |= UINT32_C(1) << cell;
    }
    return seen;
}

static void look_at_attention(struct quire_survey *survey, const struct ggml_tensor *node) {
    struct ggml_tensor *key = node->src[1], *value = node->src[2];
    const int layer = graph_cache_layer(graph_without_views(key), 'k');
    if (layer < 0 || layer >= survey->layers || graph_cache_layer(graph_without_views(value), 'v') != layer) return;
    struct quire_layer_facts *facts = &survey->facts[layer];
    *facts = (struct quire_layer_facts){
        .nodes = facts->nodes + 1,
        .kv_heads = (int32_t)key->ne[2],
        .key_size = (int32_t)key->ne[0],
        .value_size = (int32_t)value->ne[0],
        .first_row_sees = seen_cells(node->src[3], 0),
        .second_row_sees = seen_cells(node->src[3], 1),
    };
}

static bool look(struct ggml_tensor *node, bool ask, void *user_data) {
    struct quire_survey *survey = user_data;
    if (!ask) return true;
    if (node->op == survey->codes.flash_attention) look_at_attention(survey, node);
    /* Of the nodes with a third source, only rotations have a weight of this name there. */
    const struct ggml_tensor *third = node->src[2];
    if (third != NULL && strncmp(third->name, "rope_factors_", 13) == 0) survey->long_rope = true;
    return false;
}

/* Data and function pointers have one size wherever dlsym exists; ISO C has no cast for it. */
void *quire_survey_callback(void) {
    bool (*callback)(struct ggml_tensor *, bool, void *) = look;
    void *address;
    memcpy(&address, &callback, sizeof address);
    return address;
}

void quire_survey_layer(const struct quire_survey *survey, int32_t layer, struct quire_layer_facts *facts) {
    if (layer >= 0 && layer < survey->layers) *facts = survey->facts[layer];
    else memset(facts, 0, sizeof *facts);
}

int32_t quire_survey_long_rope(const struct quire_survey *survey) { return survey->long_rope; }

void quire_survey_close(struct quire_survey *survey) { free(survey); }
