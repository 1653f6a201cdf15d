/*
 * attention_test SEED COUNT: draws COUNT scenarios, the first from SEED and each further one from the next number, and
 * holds every level that this machine runs to what quire_attention.h and README.md promise:
 *
 * - A row has the same bits alone and in a crowd, whatever the chunks, tiles, threads and pages, and though all slots
 *   that it does not see hold garbage (crowd.h).
 * - It is as far from attention in doubles as single precision must be, and no further (reference.h).
 * - Norms are rewritten and compute what they did (norms.h).
 * - Rotations are left to attention, which does them (rotations.h).
 * - What cannot be right is refused (refusals.h).
 * - Pages in memory that outlives the process are found as they were left (sharing.h).
 *
 * A failure is told with its seed: `attention_test SEED 1` repeats it. Ends with 0 if there was none.
 */
#include "crowd.h"
#include "norms.h"
#include "reference.h"
#include "refusals.h"
#include "rotations.h"
#include "sharing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CROWDS = 2, SAMPLES = 10, MAX_LEVELS = 8, MAX_TOLD = 5 };

/*
 * How much larger the root mean square error may be than that of the plainest single precision code. Different orders
 * of sums differ by a few percent; halves where floats belong, by a factor of ten and more. I16 pages are compared with
 * such code over keys and values that were rounded to halves.
 */
static const double error_limit = 1.25;

/* A row whose result is known: for each layer, in doubles, with its bound, and in plain floats. */
struct sample {
    int sequence, position;
    double *exact, *bound; /* [layer][heads * head_size] */
    float *single;
};

struct level {
    const char *name;
    int failures;
    long rows_compared, numbers_compared;
    double worst;                   /* error over its bound */
    double square_errors, square_single_errors; /* of those ratios, ours and plain single precision's */
};

static void gather(const struct scenario *scenario, const float *rows, int layer, const struct sequence *sequence,
                   int positions, float *target) {
    const size_t width = key_width(scenario);
    for (int p = 0; p < positions; p++) {
        const size_t row = (size_t)layer * scenario->tokens + sequence->tokens[p];
        memcpy(target + p * width, rows + row * width, width * sizeof(float));
    }
}

static void compute_sample(const struct scenario *scenario, struct sample *sample) {
    const struct quire_shape *shape = &scenario->shape;
    const struct sequence *sequence = &scenario->sequences[sample->sequence];
    const size_t width = key_width(scenario), outputs = query_width(scenario);
    const int positions = sample->position + 1, group = scenario->heads / shape->kv_heads;
    float *keys = must_allocate((size_t)positions * width, sizeof *keys);
    float *values = must_allocate((size_t)positions * width, sizeof *values);
    float *given_keys = must_allocate((size_t)positions * width, sizeof *given_keys);
    float *given_values = must_allocate((size_t)positions * width, sizeof *given_values);
    const bool shorts = shape->page_type == QUIRE_PAGES_I16;
    sample->exact = must_allocate(shape->layers * outputs, sizeof *sample->exact);
    sample->bound = must_allocate(shape->layers * outputs, sizeof *sample->bound);
    sample->single = must_allocate(shape->layers * outputs, sizeof *sample->single);
    for (int layer = 0; layer < shape->layers; layer++) {
        gather(scenario, scenario->stored_keys, layer, sequence, positions, keys);
        gather(scenario, scenario->stored_values, layer, sequence, positions, values);
        gather(scenario, scenario->keys, layer, sequence, positions, given_keys);
        gather(scenario, scenario->values, layer, sequence, positions, given_values);
        const size_t query = (size_t)layer * scenario->tokens + sequence->tokens[sample->position];
        for (int head = 0; head < scenario->heads; head++) {
            const size_t kv = (size_t)(head / group) * shape->head_size, at = (size_t)head * shape->head_size;
            struct reference_head reference = {
                .head_size = shape->head_size,
                .first = scenario_first_seen(scenario, layer, sample->position),
                .last = sample->position,
                .query = scenario->queries + query * outputs + at,
                .keys = keys + kv,
                .values = values + kv,
                .stride = width,
                .scale = scenario->scale,
                .softcap = scenario->softcap,
                .slope = reference_slope(head, scenario->heads, scenario->max_bias),
                .sink = scenario->sinks == NULL ? NULL : &scenario->sinks[head],
            };
            const size_t to = layer * outputs + at;
            const int failed = reference_single(&reference, sample->single + to);
            if (shorts) {
                reference.shorts = true;
                reference.keys = given_keys + kv;
                reference.values = given_values + kv;
            }
            if (failed != 0 || reference_attention(&reference, sample->exact + to, sample->bound + to) != 0) {
                fprintf(stderr, "no memory for the reference\n");
                exit(2);
            }
        }
    }
    free(keys);
    free(values);
    free(given_keys);
    free(given_values);
}

/* The last row of a sequence, the edges of softmax blocks, and any others. */
static int draw_samples(const struct scenario *scenario, struct rng *rng, struct sample *samples) {
    const int count = scenario->rows < SAMPLES ? scenario->rows : SAMPLES;
    for (int i = 0; i < count; i++) {
        const int index = i % scenario->sequence_count;
        const struct sequence *sequence = &scenario->sequences[index];
        int position = rng_int(rng, sequence->begin, sequence->length - 1);
        if (rng_chance(rng, 0.2)) position = sequence->length - 1;
        else if (rng_chance(rng, 0.3)) position = position / 64 * 64 - rng_int(rng, 0, 1);
        if (position < sequence->begin) position = sequence->begin;
        samples[i] = (struct sample){.sequence = index, .position = position};
        compute_sample(scenario, &samples[i]);
    }
    return count;
}

static void tell(struct level *level, const struct scenario *scenario, int layer, int sequence, int position, int head,
                 const char *what) {
    if (++level->failures > MAX_TOLD) return;
    const struct quire_shape *shape = &scenario->shape;
    printf("seed %llu, %s, layer %d, sequence %d, position %d, head %d: %s\n"
           "  %d heads over %d of %d values, pages of type %d, window %d, soft-cap %g, bias %g, %s\n",
           (unsigned long long)scenario->seed, level->name, layer, sequence, position, head, what, scenario->heads,
           shape->kv_heads, shape->head_size, shape->page_type, shape->window, scenario->softcap, scenario->max_bias,
           scenario->sinks == NULL ? "no sinks" : "sinks");
}

static const float *output_of(const struct scenario *scenario, const float *outputs, int layer, int sequence,
                              int position) {
    const struct sequence *one = &scenario->sequences[sequence];
    const size_t row = (size_t)(one->first_row + position - one->begin);
    return outputs + (size_t)layer * layer_outputs(scenario) + row * query_width(scenario);
}

/* One row, in all layers where it is a number. */
static void compare_bits(struct level *level, const struct scenario *scenario, int sequence, int position,
                         const float *expected, const float *actual, const char *what) {
    for (int layer = 0; layer < scenario->shape.layers; layer++) {
        if (!scenario_row_is_sound(scenario, layer, sequence, position)) continue;
        const float *a = output_of(scenario, expected, layer, sequence, position);
        const float *b = output_of(scenario, actual, layer, sequence, position);
        level->rows_compared++;
        for (int head = 0; head < scenario->heads; head++) {
            const size_t at = (size_t)head * scenario->shape.head_size;
            if (memcmp(a + at, b + at, scenario->shape.head_size * sizeof(float)) == 0) continue;
            tell(level, scenario, layer, sequence, position, head, what);
            break;
        }
    }
}

static void compare_crowds(struct level *level, const struct scenario *scenario, const float *a, const float *b) {
    for (int sequence = 0; sequence < scenario->sequence_count; sequence++) {
        for (int p = scenario->sequences[sequence].begin; p < scenario->sequences[sequence].length; p++) {
            compare_bits(level, scenario, sequence, p, a, b, "two crowds differ");
        }
    }
}

/* An error of 0 is right even where the bound is. */
static double ratio(double error, double bound) { return error == 0 ? 0 : fabs(error) / bound; }

/*
 * What errors of a head are measured by when means are taken: each number's own bound; in I16 pages, which round small
 * numbers of a vector as they do large ones, the mean of the head's bounds.
 */
static double measure_of(const struct scenario *scenario, const double *bounds, size_t index) {
    if (scenario->shape.page_type != QUIRE_PAGES_I16) return bounds[index];
    const size_t size = (size_t)scenario->shape.head_size, begin = index / size * size;
    double sum = 0;
    for (size_t i = begin; i < begin + size; i++) sum += bounds[i];
    return sum / (double)size;
}

static void compare_with_reference(struct level *level, const struct scenario *scenario, const struct sample *sample,
                                   const float *outputs) {
    const size_t width = query_width(scenario);
    for (int layer = 0; layer < scenario->shape.layers; layer++) {
        if (!scenario_row_is_sound(scenario, layer, sample->sequence, sample->position)) continue;
        const float *output = output_of(scenario, outputs, layer, sample->sequence, sample->position);
        const size_t at = layer * width;
        int head_told = -1;
        for (size_t i = 0; i < width; i++) {
            const double exact = sample->exact[at + i], bound = sample->bound[at + i];
            const double error = ratio(output[i] - exact, bound), measure = measure_of(scenario, sample->bound + at, i);
            const double our_error = ratio(output[i] - exact, measure);
            const double single_error = ratio(sample->single[at + i] - exact, measure);
            level->numbers_compared++;
            level->square_errors += our_error * our_error;
            level->square_single_errors += single_error * single_error;
            if (error > level->worst) level->worst = error;
            const int head = (int)(i / (size_t)scenario->shape.head_size);
            if (error <= 1 || head == head_told) continue; /* Written so that NaN is an error. */
            char what[QUIRE_ERROR_BYTES];
            snprintf(what, sizeof what, "is %.9g, not %.9g within %.2g", output[i], exact, bound);
            tell(level, scenario, layer, sample->sequence, sample->position, head, what);
            head_told = head;
        }
    }
}

static void check_level(struct level *level, const struct scenario *scenario, const struct sample *samples,
                        int sample_count, struct rng rng) {
    const size_t floats = scenario->shape.layers * layer_outputs(scenario);
    float *first = must_allocate(floats, sizeof *first), *other = must_allocate(floats, sizeof *other);
    run_crowd(scenario, level->name, rng_bits(&rng), first);
    for (int i = 1; i < CROWDS; i++) {
        run_crowd(scenario, level->name, rng_bits(&rng), other);
        compare_crowds(level, scenario, first, other);
    }
    for (int i = 0; i < sample_count; i++) {
        const struct sample *sample = &samples[i];
        run_alone(scenario, level->name, sample->sequence, sample->position, other);
        compare_bits(level, scenario, sample->sequence, sample->position, other, first, "differs from the row alone");
        compare_with_reference(level, scenario, sample, first);
    }
    free(first);
    free(other);
}

static void check_scenario(uint64_t seed, struct level *levels, int level_count) {
    struct scenario *scenario = scenario_draw(seed);
    struct sample samples[SAMPLES];
    struct rng rng = {~seed};
    const int sample_count = draw_samples(scenario, &rng, samples);
    for (int i = 0; i < level_count; i++) check_level(&levels[i], scenario, samples, sample_count, rng);
    for (int i = 0; i < sample_count; i++) {
        free(samples[i].exact);
        free(samples[i].bound);
        free(samples[i].single);
    }
    scenario_free(scenario);
}

static int judge(struct level *level) {
    const double ours = sqrt(level->square_errors / (double)level->numbers_compared);
    const double single = sqrt(level->square_single_errors / (double)level->numbers_compared);
    const bool precise = ours <= error_limit * single;
    printf("%s: %ld rows with the same bits; of %ld numbers, errors are at most %.2g of their bound, %.2g of it in the "
           "mean (plain single precision: %.2g); %d failures%s\n",
           level->name, level->rows_compared, level->numbers_compared, level->worst, ours, single, level->failures,
           precise ? "" : "; THE MEAN ERROR IS TOO LARGE");
    return level->failures + !precise;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: attention_test SEED COUNT\n");
        return 2;
    }
    const uint64_t seed = strtoull(argv[1], NULL, 10);
    const int count = atoi(argv[2]);

    struct level levels[MAX_LEVELS] = {0};
    int level_count = 0, failures = 0;
    while (level_count < MAX_LEVELS && quire_level(level_count) != NULL) {
        levels[level_count].name = quire_level(level_count);
        failures += check_refusals(levels[level_count].name);
        failures += check_norms(levels[level_count].name, seed);
        failures += check_rotations(levels[level_count].name, seed);
        failures += check_sharing(levels[level_count++].name);
    }
    for (int i = 0; i < count; i++) check_scenario(seed + (uint64_t)i, levels, level_count);
    for (int i = 0; i < level_count; i++) failures += judge(&levels[i]);
    return failures == 0 ? 0 : 1;
}
