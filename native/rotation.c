#include "rotation.h"

#include "aligned_memory.h"

#include <math.h>
#include <string.h>

static bool same(const struct rotation_rule *a, const struct rotation_rule *b) {
    return a->dimensions == b->dimensions && a->neighbours == b->neighbours && a->base == b->base && a->scale == b->scale &&
           a->magnitude == b->magnitude && a->divisors == b->divisors;
}

int32_t rotations_find(struct rotations *rotations, const struct ggml_tensor *node) {
    struct ggml_rope_params params;
    memcpy(&params, node->op_params, sizeof params);
    const struct ggml_tensor *divisors = node->src[2];
    const bool known = params.mode == GGML_ROPE_NEIGHBOURS || params.mode == GGML_ROPE_HALVES;
    const bool plain = known && params.extrapolation == 0 && params.offset == 0;
    if (!plain || params.dimensions <= 0 || params.dimensions % PAGE_TOKENS != 0 || params.dimensions > node->ne[0]) return -1;
    if (divisors != NULL && (divisors->type != GGML_TYPE_F32 || divisors->op != GGML_OP_NONE)) return -1;
    const struct rotation_rule rule = {
        .dimensions = params.dimensions,
        .neighbours = params.mode == GGML_ROPE_NEIGHBOURS,
        .base = params.base,
        .scale = params.scale,
        .magnitude = params.magnitude,
        .divisors = divisors == NULL ? NULL : divisors->data,
    };
    for (int32_t i = 0; i < rotations->count; i++) {
        if (same(&rotations->all[i].rule, &rule)) return i;
    }
    if (rotations->count == MAX_ROTATIONS) return -1;
    rotations->all[rotations->count] = (struct rotation){.rule = rule};
    return rotations->count++;
}

/* Angles as llama.cpp computes them, each from the one before. */
static void make_factors(const struct rotation_rule *rule, int32_t position, float *factors) {
    const int32_t half = rule->dimensions / 2;
    const float ratio = powf(rule->base, -2.0f / (float)rule->dimensions);
    float *of_first = factors, *of_second = factors + rule->dimensions, angle = (float)position;
    for (int32_t i = 0; i < half; i++, angle *= ratio) {
        const float divided = rule->divisors == NULL ? angle : angle / rule->divisors[i];
        const float cosine = cosf(rule->scale * divided) * rule->magnitude, sine = sinf(rule->scale * divided) * rule->magnitude;
        const int32_t first = rule->neighbours ? 2 * i : i, second = rule->neighbours ? first + 1 : i + half;
        of_first[first] = of_second[second] = cosine;
        of_first[second] = sine;
        of_second[first] = -sine;
    }
}

bool rotation_prepare(struct rotation *rotation, const int32_t *positions, int32_t rows) {
    if (rotation->rows == rows) return true;
    const size_t row_floats = 2 * (size_t)rotation->rule.dimensions, floats = (size_t)rows * row_floats;
    if (floats > rotation->floats) {
        aligned_memory_free(rotation->factors);
        rotation->floats = 0;
        rotation->factors = aligned_memory_get(64, floats * sizeof *rotation->factors);
        if (rotation->factors == NULL) return false;
        rotation->floats = floats;
    }
    for (int32_t row = 0; row < rows; row++) {
        make_factors(&rotation->rule, positions[row], rotation->factors + (size_t)row * row_floats);
    }
    rotation->rows = rows;
    return true;
}

void rotations_begin_step(struct rotations *rotations) {
    for (int32_t i = 0; i < rotations->count; i++) rotations->all[i].rows = 0;
}

void rotations_free(struct rotations *rotations) {
    for (int32_t i = 0; i < rotations->count; i++) aligned_memory_free(rotations->all[i].factors);
    rotations->count = 0;
}
