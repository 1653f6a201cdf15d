#include "scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCALE_VALUES = 32 }; /* values of a Q8_0 page that have one scale */

/* What one run of a scenario may cost: products of queries and keys, and numbers in keys. */
static const double work_limit = 1e8, key_limit = 6e5;

void *must_allocate(size_t count, size_t size) {
    void *memory = calloc(count == 0 ? 1 : count, size);
    if (memory == NULL) {
        fprintf(stderr, "no memory for the test\n");
        exit(2);
    }
    return memory;
}

static double sign(struct rng *rng) { return rng_chance(rng, 0.5) ? 1 : -1; }

/* Not near the middle between two integers: wherever rounding to nearest takes place, its result is the same. */
static double off_grid(struct rng *rng, int integer) { return integer + 0.8 * rng_unit(rng) - 0.4; }

/* Values between 1/8 and 2, and now and then a zero or a subnormal half. */
static void draw_halves(struct rng *rng, float *source, float *stored, int count) {
    for (int i = 0; i < count; i++) {
        const bool subnormal = rng_chance(rng, 0.01);
        const int steps = subnormal ? rng_int(rng, 0, 1022) : rng_int(rng, 1025, 2046);
        const double unit = ldexp(sign(rng), subnormal ? -24 : rng_int(rng, -13, -10));
        stored[i] = (float)(unit * steps);
        source[i] = (float)(unit * (steps == 0 ? 0 : off_grid(rng, steps)));
    }
}

/* Groups of 32 values whose greatest stands for 127; the scale that this makes is rounded to a half as well. */
static void draw_bytes(struct rng *rng, float *source, float *stored, int count) {
    for (int group = 0; group < count; group += SCALE_VALUES) {
        const int steps = rng_chance(rng, 0.02) ? 0 : rng_int(rng, 1025, 2046);
        const double unit = ldexp(1, rng_int(rng, -19, -17));
        const double scale = steps == 0 ? 0 : unit * off_grid(rng, steps);
        const int greatest = rng_int(rng, 0, SCALE_VALUES - 1);
        for (int i = 0; i < SCALE_VALUES; i++) {
            const int integer = i == greatest ? 127 * (int)sign(rng) : rng_int(rng, -126, 126);
            stored[group + i] = (float)(unit * steps * integer);
            source[group + i] = (float)(scale * (i == greatest ? integer : off_grid(rng, integer)));
        }
    }
}

static void draw_rows(struct rng *rng, enum quire_page_type type, float *source, float *stored, int count) {
    if (type == QUIRE_PAGES_Q8_0) draw_bytes(rng, source, stored, count);
    else draw_halves(rng, source, stored, count);
}

static void draw_model(struct scenario *scenario, struct rng *rng) {
    struct quire_shape *shape = &scenario->shape;
    shape->layers = rng_int(rng, 1, MAX_LAYERS);
    shape->kv_heads = rng_int(rng, 1, 4);
    scenario->heads = shape->kv_heads * rng_int(rng, 1, 8);
    shape->page_type = (const int[]){QUIRE_PAGES_I16, QUIRE_PAGES_F16, QUIRE_PAGES_Q8_0}[rng_int(rng, 0, 2)];
    shape->head_size = shape->page_type == QUIRE_PAGES_Q8_0 ? 32 * rng_int(rng, 1, 8) : 16 * rng_int(rng, 1, 16);
    shape->windowed = scenario->windowed;
    shape->threads = rng_int(rng, 0, 4);
    if (rng_chance(rng, 0.4)) {
        shape->window = rng_chance(rng, 0.5) ? rng_int(rng, 1, 200) : 16 * rng_int(rng, 1, 12);
        for (int layer = 0; layer < shape->layers; layer++) scenario->windowed[layer] = rng_chance(rng, 0.7);
    }

    scenario->scale = 1.0f / sqrtf((float)shape->head_size);
    if (rng_chance(rng, 0.3)) scenario->softcap = rng_chance(rng, 0.5) ? 50 : 5;
    if (rng_chance(rng, 0.3)) scenario->max_bias = rng_chance(rng, 0.8) ? 8 : 2;
    if (rng_chance(rng, 0.3)) {
        scenario->sinks = must_allocate((size_t)scenario->heads, sizeof *scenario->sinks);
        for (int head = 0; head < scenario->heads; head++) {
            scenario->sinks[head] = (float)(sign(rng) * rng_unit(rng) * (rng_chance(rng, 0.1) ? 60 : 6));
        }
    }
}

static int least(int a, int b) { return a < b ? a : b; }

/* What a sequence shares with an earlier one: up to the end of a page, of a softmax block, or of neither. */
static void draw_parent(struct scenario *scenario, struct rng *rng, int index) {
    struct sequence *sequence = &scenario->sequences[index];
    sequence->parent = rng_int(rng, 0, index - 1);
    const struct sequence *parent = &scenario->sequences[sequence->parent];
    const int grain = (const int[]){1, PAGE_TOKENS, 4 * PAGE_TOKENS}[rng_int(rng, 0, 2)];
    sequence->shared = least(rng_int(rng, 0, parent->length) / grain * grain, MAX_LENGTH - 1);
    memcpy(sequence->tokens, parent->tokens, (size_t)sequence->shared * sizeof *sequence->tokens);
}

/* `work` is how many pairs of a row and a position it may have, `tokens` how many of its own. */
static void draw_sequence(struct scenario *scenario, struct rng *rng, int index, double work, int tokens) {
    struct sequence *sequence = &scenario->sequences[index];
    sequence->parent = -1;
    if (index > 0 && rng_chance(rng, 0.6)) draw_parent(scenario, rng, index);
    const int room = least(tokens, MAX_LENGTH - sequence->shared);
    sequence->begin = sequence->shared + (rng_chance(rng, 0.3) ? rng_int(rng, 0, room - 1) : 0);
    /* Rows whose positions would use up the work, from where the sequence begins. */
    const double most = sqrt((double)sequence->begin * sequence->begin + 2 * work) - sequence->begin;
    const int rows = least(sequence->shared + room - sequence->begin, most < 1 ? 1 : (int)most);
    sequence->length = sequence->begin + rng_int(rng, 1, rng_chance(rng, 0.4) ? least(rows, 20) : rows);

    sequence->first_row = scenario->rows;
    scenario->rows += sequence->length - sequence->begin;
    for (int position = sequence->shared; position < sequence->length; position++) {
        sequence->tokens[position] = scenario->tokens++;
    }
}

/* A few long sequences or many short ones, as much as the limits have room for. */
static void draw_sequences(struct scenario *scenario, struct rng *rng) {
    const int wanted = rng_chance(rng, 0.3) ? rng_int(rng, 10, MAX_SEQUENCES) : rng_int(rng, 1, 8);
    double work = work_limit / ((double)query_width(scenario) * scenario->shape.layers);
    const int most_tokens = (int)(key_limit / ((double)key_width(scenario) * scenario->shape.layers));
    while (scenario->sequence_count < wanted && work > 0 && scenario->tokens < most_tokens) {
        const double share = rng_chance(rng, 0.3) ? 1 : 1.0 / wanted;
        draw_sequence(scenario, rng, scenario->sequence_count, share * work, most_tokens - scenario->tokens);
        const struct sequence *sequence = &scenario->sequences[scenario->sequence_count++];
        work -= ((double)sequence->length * sequence->length - (double)sequence->begin * sequence->begin) / 2;
    }
}

/* Scores of a few units, or so large that single weights are all that counts. */
static void draw_tokens(struct scenario *scenario, struct rng *rng) {
    const struct quire_shape *shape = &scenario->shape;
    const size_t rows = (size_t)shape->layers * (size_t)scenario->tokens;
    const int width = (int)key_width(scenario);
    const double spread = (const double[]){1, 3, 40}[rng_int(rng, 0, 2)];
    scenario->queries = must_allocate(rows * query_width(scenario), sizeof(float));
    scenario->keys = must_allocate(rows * (size_t)width, sizeof(float));
    scenario->values = must_allocate(rows * (size_t)width, sizeof(float));
    scenario->stored_keys = must_allocate(rows * (size_t)width, sizeof(float));
    scenario->stored_values = must_allocate(rows * (size_t)width, sizeof(float));
    scenario->spoiled = must_allocate((size_t)scenario->tokens, sizeof(bool));
    for (size_t i = 0; i < rows * query_width(scenario); i++) {
        scenario->queries[i] = (float)(spread * (2 * rng_unit(rng) - 1));
    }
    for (size_t row = 0; row < rows; row++) {
        const size_t at = row * (size_t)width;
        draw_rows(rng, shape->page_type, scenario->keys + at, scenario->stored_keys + at, width);
        draw_rows(rng, shape->page_type, scenario->values + at, scenario->stored_values + at, width);
    }
}

/* Spoils one token: the rows before it must not notice, nor those whose window has left it behind. */
static void spoil_token(struct scenario *scenario, struct rng *rng) {
    const struct sequence *sequence = &scenario->sequences[rng_int(rng, 0, scenario->sequence_count - 1)];
    const int token = sequence->tokens[rng_int(rng, (sequence->begin + sequence->length) / 2, sequence->length - 1)];
    const float spoilt = (const float[]){NAN, INFINITY, -INFINITY, 1e30f}[rng_int(rng, 0, 3)];
    scenario->spoiled[token] = true;
    const size_t width = key_width(scenario);
    for (int layer = 0; layer < scenario->shape.layers; layer++) {
        const size_t at = ((size_t)layer * scenario->tokens + token) * width;
        for (size_t i = 0; i < width; i++) scenario->keys[at + i] = scenario->values[at + i] = spoilt;
    }
}

struct scenario *scenario_draw(uint64_t seed) {
    struct scenario *scenario = must_allocate(1, sizeof *scenario);
    struct rng rng = {seed};
    scenario->seed = seed;
    draw_model(scenario, &rng);
    draw_sequences(scenario, &rng);
    draw_tokens(scenario, &rng);
    if (rng_chance(&rng, 0.3)) spoil_token(scenario, &rng);
    return scenario;
}

void scenario_free(struct scenario *scenario) {
    free(scenario->sinks);
    free(scenario->queries);
    free(scenario->keys);
    free(scenario->values);
    free(scenario->stored_keys);
    free(scenario->stored_values);
    free(scenario->spoiled);
    free(scenario);
}

int scenario_first_seen(const struct scenario *scenario, int layer, int position) {
    const int window = scenario->shape.window;
    if (window == 0 || !scenario->windowed[layer] || position < window) return 0;
    return position - window + 1;
}

bool scenario_row_is_sound(const struct scenario *scenario, int layer, int sequence, int position) {
    const int *tokens = scenario->sequences[sequence].tokens;
    for (int p = scenario_first_seen(scenario, layer, position); p <= position; p++) {
        if (scenario->spoiled[tokens[p]]) return false;
    }
    return true;
}
