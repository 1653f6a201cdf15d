/* For threads. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE

#include "lanes.h"

#include "ggml_abi.h"
#include "handle.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LANES = 64 };

typedef int32_t decode_function(void *context, struct llama_batch batch);

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>

/* Looks that a waiting thread takes before it lets others have its core, as the one it waits for may need it. */
enum { PATIENCE = 1 << 14 };

/* As much as koffi gives the thread that calls llama.cpp otherwise; some systems' threads have less. */
enum { STACK_BYTES = 8 << 20 };

void lanes_await(const struct quire_lanes *lanes, const atomic_int *arrived, int threads) {
    for (int looks = 0; atomic_load_explicit(arrived, memory_order_acquire) < threads; looks++) {
        if (lanes != NULL && atomic_load_explicit(&lanes->failed, memory_order_relaxed)) return;
        if (looks < PATIENCE) pause_briefly();
        else sched_yield();
    }
}

struct lane_thread {
    struct lane_team *team;
    int32_t lane;
    pthread_t thread;
};

/* One thread for each lane but the first, which is computed by whoever asks for a step. */
struct lane_team {
    struct quire_lanes *lanes;
    struct lane_thread threads[MAX_LANES];
    int32_t started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t begun, done;
    int step, busy;
    bool stop;

    decode_function *decode;
    const struct quire_decode *decodes;
    int32_t codes[MAX_LANES];
};

static void compute_lane(struct lane_team *team, int32_t lane) {
    const struct quire_decode *call = &team->decodes[lane];
    team->codes[lane] = team->decode(call->context, *call->batch);
    if (team->codes[lane] != 0) lanes_fail(team->lanes);
}

static void *work(void *argument) {
    const struct lane_thread *self = argument;
    struct lane_team *team = self->team;
    pthread_mutex_lock(&team->mutex);
    for (int seen = 0;; seen = team->step) {
        while (team->step == seen && !team->stop) pthread_cond_wait(&team->begun, &team->mutex);
        if (team->stop) break;
        pthread_mutex_unlock(&team->mutex);
        compute_lane(team, self->lane);
        pthread_mutex_lock(&team->mutex);
        if (--team->busy == 0) pthread_cond_signal(&team->done);
    }
    pthread_mutex_unlock(&team->mutex);
    return NULL;
}

static void team_stop(struct lane_team *team) {
    if (team == NULL) return;
    pthread_mutex_lock(&team->mutex);
    team->stop = true;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->mutex);
    for (int32_t i = 0; i < team->started; i++) pthread_join(team->threads[i].thread, NULL);
    pthread_cond_destroy(&team->begun);
    pthread_cond_destroy(&team->done);
    pthread_mutex_destroy(&team->mutex);
    free(team);
}

/* NULL: the system refuses. */
static struct lane_team *team_start(struct quire_lanes *lanes) {
    struct lane_team *team = calloc(1, sizeof *team);
    if (team == NULL) return NULL;
    team->lanes = lanes;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->begun, NULL);
    pthread_cond_init(&team->done, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (; team->started < lanes->count - 1; team->started++) {
        struct lane_thread *thread = &team->threads[team->started];
        *thread = (struct lane_thread){.team = team, .lane = team->started + 1};
        if (pthread_create(&thread->thread, &attributes, work, thread) != 0) break;
    }
    pthread_attr_destroy(&attributes);
    if (team->started == lanes->count - 1) return team;
    team_stop(team);
    return NULL;
}

static int32_t team_compute(struct lane_team *team, decode_function *decode, const struct quire_decode *decodes) {
    pthread_mutex_lock(&team->mutex);
    team->decode = decode;
    team->decodes = decodes;
    team->busy = team->started;
    team->step++;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->mutex);
    compute_lane(team, 0);
    pthread_mutex_lock(&team->mutex);
    while (team->busy > 0) pthread_cond_wait(&team->done, &team->mutex);
    pthread_mutex_unlock(&team->mutex);
    for (int32_t lane = 0; lane < team->lanes->count; lane++) {
        if (team->codes[lane] != 0) return team->codes[lane];
    }
    return 0;
}

#else /* No lanes here: steps are computed by one context. */

void lanes_await(const struct quire_lanes *lanes, const atomic_int *arrived, int threads) {
    (void)lanes;
    while (atomic_load_explicit(arrived, memory_order_acquire) < threads) pause_briefly();
}

static struct lane_team *team_start(struct quire_lanes *lanes) {
    (void)lanes;
    return NULL;
}

static void team_stop(struct lane_team *team) { (void)team; }

static int32_t team_compute(struct lane_team *team, decode_function *decode, const struct quire_decode *decodes) {
    (void)team, (void)decode, (void)decodes;
    return -1;
}

#endif

struct quire_lanes *quire_lanes_open(struct quire_attention *handle, int32_t count) {
    if (count < 2 || count > MAX_LANES) return NULL;
    const int layers = handle->memory->layers;
    struct quire_lanes *lanes = calloc(1, sizeof *lanes);
    if (lanes == NULL) return NULL;
    atomic_init(&lanes->failed, false);
    lanes->handles = calloc((size_t)count, sizeof *lanes->handles);
    lanes->writers = calloc((size_t)handle->memory->pages, sizeof *lanes->writers);
    bool whole = lanes->handles != NULL && lanes->writers != NULL;
    for (; whole && lanes->count < count; lanes->count++) {
        struct quire_attention *lane = handle_make(handle->kernel, &handle->codes, layers,
                                                   handle->plan.readings[1].window, handle->windowed,
                                                   handle->threads / count);
        whole = lane != NULL;
        if (!whole) break;
        lane->memory = handle->memory;
        lane->lanes = lanes;
        lanes->handles[lanes->count] = lane;
    }
    if (whole) lanes->team = team_start(lanes);
    if (lanes->team != NULL) return lanes;
    quire_lanes_close(lanes);
    return NULL;
}

struct quire_attention *quire_lane(struct quire_lanes *lanes, int32_t index) { return lanes->handles[index]; }

/* Notes which lanes write to which page; or forgets it. */
static void note_writers(struct quire_lanes *lanes, bool forget) {
    for (int32_t lane = 0; lane < lanes->count; lane++) {
        const struct step_plan *plan = &lanes->handles[lane]->plan;
        for (int32_t row = 0; row < plan->row_count; row++) {
            uint64_t *writers = &lanes->writers[plan->slots[row] / PAGE_TOKENS];
            *writers = forget ? 0 : *writers | UINT64_C(1) << lane;
        }
    }
}

/* Whether the lane writes to this page, below this offset. */
static bool writes_below(const struct quire_attention *lane, int32_t page, int32_t offset) {
    const struct step_plan *plan = &lane->plan;
    for (int32_t row = 0; row < plan->row_count; row++) {
        if (plan->slots[row] / PAGE_TOKENS == page && plan->slots[row] % PAGE_TOKENS < offset) return true;
    }
    return false;
}

/*
 * The lanes that write what a sequence's rows of this lane see, up to the one at `position`. Where two parts of a prompt meet
 * in a page, the first one's rows see nothing of what the second writes there: they load it, in whatever state, and leave it out.
 */
static uint64_t lanes_read(const struct quire_lanes *lanes, int32_t lane, const int32_t *table, int32_t position) {
    const int32_t last = position / PAGE_TOKENS;
    uint64_t read = 0;
    for (int32_t i = 0; i < last; i++) read |= lanes->writers[table[i]];
    const uint64_t beside = lanes->writers[table[last]] & ~read;
    for (int32_t other = 0; other < lanes->count; other++) {
        if ((beside >> other & 1) == 0 || other == lane) continue;
        if (writes_below(lanes->handles[other], table[last], position % PAGE_TOKENS)) read |= UINT64_C(1) << other;
    }
    return read & ~(UINT64_C(1) << lane);
}

/* Says each lane whom it must wait for. */
static void tie(struct quire_lanes *lanes) {
    note_writers(lanes, false);
    uint64_t awaited = 0;
    for (int32_t lane = 0; lane < lanes->count; lane++) {
        struct quire_attention *handle = lanes->handles[lane];
        const struct step_plan *plan = &handle->plan;
        handle->awaited_lanes = 0;
        for (int32_t i = 0; i < plan->sequence_count; i++) {
            const struct sequence *sequence = &plan->sequences[i];
            handle->awaited_lanes |= lanes_read(lanes, lane, sequence->pages, sequence->last_position);
        }
        awaited |= handle->awaited_lanes;
    }
    for (int32_t lane = 0; lane < lanes->count; lane++) lanes->handles[lane]->is_awaited = awaited >> lane & 1;
    note_writers(lanes, true);
}

int32_t quire_lanes_compute(struct quire_lanes *lanes, void *llama_decode, const struct quire_decode *decodes) {
    decode_function *decode;
    memcpy(&decode, &llama_decode, sizeof decode);
    tie(lanes);
    atomic_store(&lanes->failed, false);
    return team_compute(lanes->team, decode, decodes);
}

void quire_lanes_close(struct quire_lanes *lanes) {
    team_stop(lanes->team);
    for (int32_t i = 0; i < lanes->count; i++) quire_close(lanes->handles[i]);
    free(lanes->handles);
    free(lanes->writers);
    free(lanes);
}
