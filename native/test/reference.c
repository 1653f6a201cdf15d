#include "reference.h"

#include <math.h>
#include <stdlib.h>

/* Half a unit in the last place of a float near 1. */
static const double u = 0x1p-24;

enum { BLOCK_TOKENS = 64 };

float reference_slope(int32_t head, int32_t heads, float max_bias) {
    if (max_bias == 0) return 0;
    int32_t power = 1;
    while (power * 2 <= heads) power *= 2;
    const double slope =
        head < power ? pow(2, -(double)max_bias * (head + 1) / power)
                     : pow(2, -(double)max_bias / 2 * (2 * (head - power) + 1) / power);
    return (float)slope;
}

/* A score, and how far from it single precision may be. */
struct score {
    double value, error;
};

/* The integers of a vector in I16 pages are multiples of this. */
static double unit_of(const float *vector, int32_t size, double largest, double norm) {
    double most = 0, square = 0;
    for (int32_t d = 0; d < size; d++) {
        most = fmax(most, fabs(vector[d]));
        square += (double)vector[d] * vector[d];
    }
    return fmax(most / largest, sqrt(square) / norm) * (1 + 16 * u);
}

static double key_unit(const float *vector, int32_t size) { return unit_of(vector, size, 32767, 46330); }
static double value_unit(const float *vector, int32_t size) { return unit_of(vector, size, 8191, INFINITY); }

/* How far a product of two vectors may be off when each is rounded to half a unit. */
static double rounding_error(const float *query, const float *key, int32_t size) {
    const double a = key_unit(query, size) / 2, b = key_unit(key, size) / 2;
    double error = size * a * b;
    for (int32_t d = 0; d < size; d++) error += a * fabs(key[d]) + b * fabs(query[d]);
    return error;
}

/*
 * What I16 pages add to the bound of one block's part of the output in dimension d: values are rounded to half a unit, and
 * so are weights, of which the lane that has most has 16375.
 */
static double block_rounding(const struct reference_head *head, int32_t begin, int32_t end, const double *shares,
                             const double *units, int32_t d) {
    double weights = 0, integers = 0, error = 0;
    for (int32_t i = begin; i < end; i++) {
        const float *value = head->values + (size_t)i * head->stride;
        const double unit = units[i - head->first], share = shares[i - head->first];
        weights += share * unit;
        integers += unit == 0 ? 0 : fabs(value[d]) / unit + 0.5;
        error += share * unit / 2;
    }
    return error + weights / 16375 / 2 * integers;
}

/*
 * A sum of n products is off by at most about n u of their magnitudes, in any order; scaling and Q8_0's factors add a
 * few roundings more. tanh may be off by 8 u of its greatest value, since it may be made of exponentials. A slope is a
 * power, good for 4 u; adding the bias rounds once more.
 */
static struct score score_at(const struct reference_head *head, int32_t position) {
    const float *key = head->keys + (size_t)position * head->stride;
    double sum = 0, magnitude = 0;
    for (int32_t d = 0; d < head->head_size; d++) {
        const double product = (double)head->query[d] * key[d] * head->scale;
        sum += product;
        magnitude += fabs(product);
    }
    struct score score = {sum, (head->head_size + 8) * u * magnitude};
    if (head->shorts) score.error += head->scale * rounding_error(head->query, key, head->head_size);
    if (head->softcap != 0) {
        score.value = head->softcap * tanh(score.value / head->softcap);
        score.error += 8 * u * head->softcap;
    }
    if (head->slope != 0) {
        const double bias = (double)head->slope * (position - head->last);
        score.value += bias;
        score.error += 4 * u * fabs(bias) + u * fabs(score.value);
    }
    return score;
}

/*
 * What becomes of errors e[t] of the scores: to first order, a share p[t] = weight[t] / total changes by
 * p[t] (e[t] - mean e). An exponential e^x adds |x| 2^-23 for the roundings of x and of x / ln 2, and 4e-7 of its own.
 * Numerator and denominator are sums of n terms, brought to a new maximum up to once a block, which may cost another 8
 * roundings. 5 % are for what is beyond first order, and 1e-35 for weights that floats have no room for.
 */
int32_t reference_attention(const struct reference_head *head, double *output, double *bound) {
    const int32_t count = head->last - head->first + 1;
    struct score *scores = malloc((size_t)count * sizeof *scores);
    if (scores == NULL) return -1;
    double maximum = head->sink == NULL ? -INFINITY : *head->sink;
    for (int32_t i = 0; i < count; i++) {
        scores[i] = score_at(head, head->first + i);
        maximum = fmax(maximum, scores[i].value);
    }

    double total = 0, mean_error = 0;
    for (int32_t i = -1; i < count; i++) {
        if (i < 0 && head->sink == NULL) continue;
        const struct score score = i < 0 ? (struct score){*head->sink, 0} : scores[i];
        const double depth = maximum - score.value, weight = exp(-depth);
        const double error = score.error + depth * 2 * u + 4e-7;
        total += weight;
        mean_error += weight * error;
        if (i >= 0) scores[i] = (struct score){weight, error};
    }
    mean_error /= total;

    double *shares = malloc((size_t)count * 2 * sizeof *shares), *units = shares + count;
    if (shares == NULL) {
        free(scores);
        return -1;
    }
    for (int32_t i = 0; i < count; i++) {
        shares[i] = scores[i].value / total;
        units[i] = value_unit(head->values + (size_t)(head->first + i) * head->stride, head->head_size);
    }
    const double terms = count + 1 + 8.0 * (count / BLOCK_TOKENS + 2);
    for (int32_t d = 0; d < head->head_size; d++) {
        output[d] = 0;
        bound[d] = 1e-35;
        for (int32_t i = 0; i < count; i++) {
            const double part = shares[i] * head->values[(size_t)(head->first + i) * head->stride + d];
            output[d] += part;
            bound[d] += 1.05 * fabs(part) * (scores[i].error + mean_error + 2 * terms * u);
        }
        if (!head->shorts) continue;
        for (int32_t begin = head->first, end; begin <= head->last; begin = end) {
            end = (begin / BLOCK_TOKENS + 1) * BLOCK_TOKENS;
            if (end > head->last + 1) end = head->last + 1;
            bound[d] += 1.05 * block_rounding(head, begin, end, shares, units, d);
        }
    }
    free(shares);
    free(scores);
    return 0;
}

int32_t reference_single(const struct reference_head *head, float *output) {
    const int32_t count = head->last - head->first + 1;
    float *weights = malloc((size_t)count * sizeof *weights);
    if (weights == NULL) return -1;
    float maximum = head->sink == NULL ? -INFINITY : *head->sink;
    for (int32_t i = 0; i < count; i++) {
        const float *key = head->keys + (size_t)(head->first + i) * head->stride;
        float score = 0;
        for (int32_t d = 0; d < head->head_size; d++) score += head->query[d] * key[d];
        score *= head->scale;
        if (head->softcap != 0) score = head->softcap * tanhf(score / head->softcap);
        weights[i] = score + head->slope * (float)(head->first + i - head->last);
        maximum = fmaxf(maximum, weights[i]);
    }
    float total = head->sink == NULL ? 0 : expf(*head->sink - maximum);
    for (int32_t i = 0; i < count; i++) {
        weights[i] = expf(weights[i] - maximum);
        total += weights[i];
    }
    for (int32_t d = 0; d < head->head_size; d++) {
        float sum = 0;
        for (int32_t i = 0; i < count; i++) {
            sum += weights[i] * head->values[(size_t)(head->first + i) * head->stride + d];
        }
        output[d] = sum / total;
    }
    free(weights);
    return 0;
}
