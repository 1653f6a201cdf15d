/*
 * The arithmetic of a llama network in double precision: what llama.cpp computes in 8-bit integers and 16- and 32-bit
 * floats, without their rounding. reference.ts puts the network together from it.
 *
 * Matrices are rows of `columns` values. Threads share a call's rows; every sum has one order whatever their number.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Vectors of the widest kind; compilers split them where the machine has narrower ones. */
enum { LANES = 8 };
typedef double vector __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double))));

/* ------------------------------------------------------------------------------------------------- threads */

enum { MAX_THREADS = 256 };

typedef void task(void *arguments, int64_t from, int64_t to);

struct share {
    task *run;
    void *arguments;
    int64_t from, to;
};

static void *run_share(void *pointer) {
    struct share *share = pointer;
    share->run(share->arguments, share->from, share->to);
    return NULL;
}

/* Runs a task over 0 … count in pieces that are multiples of `grain`. */
static void in_parallel(int32_t threads, int64_t count, int64_t grain, task *run, void *arguments) {
    struct share shares[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    int started[MAX_THREADS];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    int64_t pieces = (count + grain - 1) / grain;
    for (int i = 0; i < threads; i++) {
        int64_t from = pieces * i / threads * grain, to = pieces * (i + 1) / threads * grain;
        shares[i] = (struct share){run, arguments, from, to < count ? to : count};
        started[i] = i > 0 && pthread_create(&ids[i], NULL, run_share, &shares[i]) == 0;
    }
    for (int i = 0; i < threads; i++) {
        if (started[i]) pthread_join(ids[i], NULL);
        else run_share(&shares[i]);
    }
}

/* ------------------------------------------------------------------------------------------------- weights */

static double half(const uint8_t *bytes) {
    uint16_t bits = (uint16_t)(bytes[0] | bytes[1] << 8);
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double value = exponent == 0    ? ldexp(mantissa, -24)
                   : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                    : ldexp(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

/* GGUF's types by number; blocks are of 32 values. */
enum { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q8_0 = 8, BLOCK = 32 };

/* Returns 0 for a type that is not known. */
int32_t reference_dequantize(int32_t type, const uint8_t *from, int64_t count, double *to) {
    switch (type) {
    case F32:
        for (int64_t i = 0; i < count; i++) {
            float value;
            memcpy(&value, from + 4 * i, sizeof value);
            to[i] = value;
        }
        return 1;
    case F16:
        for (int64_t i = 0; i < count; i++) to[i] = half(from + 2 * i);
        return 1;
    case Q4_0:
    case Q4_1:
        for (int64_t block = 0; block < count / BLOCK; block++, to += BLOCK) {
            double scale = half(from);
            double offset = type == Q4_1 ? half(from + 2) : -8 * scale;
            from += type == Q4_1 ? 4 : 2;
            for (int i = 0; i < BLOCK / 2; i++) {
                to[i] = scale * (from[i] & 15) + offset;
                to[i + BLOCK / 2] = scale * (from[i] >> 4) + offset;
            }
            from += BLOCK / 2;
        }
        return 1;
    case Q8_0:
        for (int64_t block = 0; block < count / BLOCK; block++, to += BLOCK) {
            double scale = half(from);
            for (int i = 0; i < BLOCK; i++) to[i] = scale * (int8_t)from[2 + i];
            from += 2 + BLOCK;
        }
        return 1;
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------------------------------- matrix products */

enum { TILE_ROWS = 4 * LANES, TILE_OUTPUTS = 4 };

struct product {
    const double *weights, *input;
    double *output;
    int64_t columns, outputs, rows;
};

static void multiply_rows(void *arguments, int64_t from, int64_t to) {
    const struct product *p = arguments;
    double *panel = malloc(sizeof(double) * (size_t)p->columns * TILE_ROWS);
    for (int64_t first = from; first < to; first += TILE_ROWS) {
        int64_t rows = to - first < TILE_ROWS ? to - first : TILE_ROWS;
        /* Rows side by side in the lanes: their sums grow together, each in the order of the columns. */
        memset(panel, 0, sizeof(double) * (size_t)p->columns * TILE_ROWS);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t k = 0; k < p->columns; k++)
                panel[k * TILE_ROWS + row] = p->input[(first + row) * p->columns + k];
        for (int64_t j = 0; j < p->outputs; j += TILE_OUTPUTS) {
            int64_t outputs = p->outputs - j < TILE_OUTPUTS ? p->outputs - j : TILE_OUTPUTS;
            vector sums[TILE_OUTPUTS][TILE_ROWS / LANES] = {0};
            const double *weights[TILE_OUTPUTS];
            for (int i = 0; i < TILE_OUTPUTS; i++) weights[i] = p->weights + (j + (i < outputs ? i : 0)) * p->columns;
            for (int64_t k = 0; k < p->columns; k++) {
                const vector *x = (const vector *)(panel + k * TILE_ROWS);
                for (int i = 0; i < TILE_OUTPUTS; i++)
                    for (int v = 0; v < TILE_ROWS / LANES; v++) sums[i][v] += weights[i][k] * x[v];
            }
            for (int64_t i = 0; i < outputs; i++)
                for (int64_t row = 0; row < rows; row++)
                    p->output[(first + row) * p->outputs + j + i] = sums[i][row / LANES][row % LANES];
        }
    }
    free(panel);
}

/* output[rows][outputs] = input[rows][columns] · weights[outputs][columns]ᵀ */
void reference_multiply(const double *weights, int64_t columns, int64_t outputs, const double *input, int64_t rows,
                        double *output, int32_t threads) {
    struct product product = {weights, input, output, columns, outputs, rows};
    in_parallel(threads, rows, TILE_ROWS, multiply_rows, &product);
}

/* ------------------------------------------------------------------------------------------------ attention */

struct attention {
    const double *query, *keys, *values;
    double *output;
    int64_t rows, heads, kv_heads, head_size;
};

static void attend_rows(void *arguments, int64_t from, int64_t to) {
    const struct attention *a = arguments;
    int64_t size = a->head_size, vectors = size / LANES, kv_width = a->kv_heads * size;
    double *scores = malloc(sizeof(double) * (size_t)a->rows);
    double scale = 1 / sqrt((double)size);
    /* Head by head, since late rows cost more than early ones. */
    for (int64_t item = from; item < to; item++) {
        int64_t head = item / a->rows, row = item % a->rows;
        int64_t at = head / (a->heads / a->kv_heads) * size;
        const vector *query = (const vector *)(a->query + (row * a->heads + head) * size);
        vector *output = (vector *)(a->output + (row * a->heads + head) * size);
        double maximum = -INFINITY, total = 0;
        for (int64_t t = 0; t <= row; t++) {
            const vector *key = (const vector *)(a->keys + t * kv_width + at);
            vector sums = {0};
            for (int64_t v = 0; v < vectors; v++) sums += query[v] * key[v];
            double score = 0;
            for (int i = 0; i < LANES; i++) score += sums[i];
            scores[t] = score * scale;
            if (scores[t] > maximum) maximum = scores[t];
        }
        for (int64_t v = 0; v < vectors; v++) output[v] = (vector){0};
        for (int64_t t = 0; t <= row; t++) {
            double weight = exp(scores[t] - maximum);
            total += weight;
            const vector *value = (const vector *)(a->values + t * kv_width + at);
            for (int64_t v = 0; v < vectors; v++) output[v] += weight * value[v];
        }
        for (int64_t v = 0; v < vectors; v++) output[v] /= total;
    }
    free(scores);
}

/* Causal attention of rows at positions 0, 1, … over themselves; head_size is a multiple of 8. */
void reference_attend(const double *query, const double *keys, const double *values, int64_t rows, int64_t heads,
                      int64_t kv_heads, int64_t head_size, double *output, int32_t threads) {
    struct attention attention = {query, keys, values, output, rows, heads, kv_heads, head_size};
    in_parallel(threads, rows * heads, 1, attend_rows, &attention);
}

/* -------------------------------------------------------------------------------------------- row by row */

void reference_rms_norm(const double *input, const double *gain, int64_t rows, int64_t width, double epsilon,
                        double *output) {
    for (int64_t row = 0; row < rows; row++, input += width, output += width) {
        double squares = 0;
        for (int64_t i = 0; i < width; i++) squares += input[i] * input[i];
        double factor = 1 / sqrt(squares / (double)width + epsilon);
        for (int64_t i = 0; i < width; i++) output[i] = input[i] * factor * gain[i];
    }
}

/* Rotates pairs of neighbours (llama.cpp's rope type "norm") of rows at positions 0, 1, … in place. */
void reference_rope(double *values, int64_t rows, int64_t heads, int64_t head_size, int64_t rotated, double base) {
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < rotated; i += 2) {
            double angle = (double)row * pow(base, -(double)i / (double)rotated);
            double cosine = cos(angle), sine = sin(angle);
            for (int64_t head = 0; head < heads; head++) {
                double *pair = values + (row * heads + head) * head_size + i;
                double x = pair[0], y = pair[1];
                pair[0] = x * cosine - y * sine;
                pair[1] = x * sine + y * cosine;
            }
        }
    }
}

/* gate = silu(gate) · up */
void reference_swiglu(double *gate, const double *up, int64_t count) {
    for (int64_t i = 0; i < count; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
}

void reference_add(double *sum, const double *term, int64_t count) {
    for (int64_t i = 0; i < count; i++) sum[i] += term[i];
}

/* --------------------------------------------------------------------------------------------- comparison */

struct softmax {
    double *logits;
    int64_t count;
};

static void log_softmax_rows(void *arguments, int64_t from, int64_t to) {
    const struct softmax *s = arguments;
    for (int64_t row = from; row < to; row++) {
        double *logits = s->logits + row * s->count, maximum = -INFINITY, total = 0;
        for (int64_t i = 0; i < s->count; i++) maximum = logits[i] > maximum ? logits[i] : maximum;
        for (int64_t i = 0; i < s->count; i++) total += exp(logits[i] - maximum);
        double normalizer = maximum + log(total);
        for (int64_t i = 0; i < s->count; i++) logits[i] -= normalizer;
    }
}

/* Turns rows of `count` logits into log-probabilities in place. */
void reference_log_softmax(double *logits, int64_t rows, int64_t count, int32_t threads) {
    struct softmax softmax = {logits, count};
    in_parallel(threads, rows, 1, log_softmax_rows, &softmax);
}

/*
 * Compares one row: result[0] = Σ p (log p − log q), in nats, for the reference's p and the other's q, result[1] =
 * −log q[target], result[2] = 1 if both have the same most probable entry, else 0.
 */
void reference_compare(const double *log_p, const float *logits, int64_t count, int64_t target, double *result) {
    double maximum = -INFINITY, total = 0, divergence = 0;
    int64_t best_p = 0, best_q = 0;
    for (int64_t i = 0; i < count; i++) {
        if (logits[i] > logits[best_q]) best_q = i;
        if (log_p[i] > log_p[best_p]) best_p = i;
    }
    maximum = logits[best_q];
    for (int64_t i = 0; i < count; i++) total += exp(logits[i] - maximum);
    double normalizer = maximum + log(total);
    for (int64_t i = 0; i < count; i++) divergence += exp(log_p[i]) * (log_p[i] - (logits[i] - normalizer));
    result[0] = divergence;
    result[1] = normalizer - logits[target];
    result[2] = best_p == best_q;
}
