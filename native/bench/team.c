/* For threads and the clock. */
#define _POSIX_C_SOURCE 200809L

#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Looks that a waiting thread takes before it lets others have its core: more than the gap between two layers. */
enum { PATIENCE = 1 << 16 };

struct member {
    struct team *team;
    int thread;
    pthread_t handle;
};

struct team {
    int threads;
    team_function *function; /* NULL: there is no more work */
    void *argument;
    struct member *members;
    _Alignas(64) atomic_int round;
    _Alignas(64) atomic_int busy;
};

static void wait_while(atomic_int *value, int unchanged) {
    for (int looks = 0; atomic_load_explicit(value, memory_order_acquire) == unchanged; looks++) {
        if (looks >= PATIENCE) sched_yield();
    }
}

static void *work(void *argument) {
    const struct member *member = argument;
    struct team *team = member->team;
    for (int round = 0;; round++) {
        wait_while(&team->round, round);
        if (team->function == NULL) return NULL;
        team->function(team->argument, member->thread);
        atomic_fetch_sub_explicit(&team->busy, 1, memory_order_release);
    }
}

static void begin_round(struct team *team, team_function *function, void *argument) {
    team->function = function;
    team->argument = argument;
    atomic_store_explicit(&team->busy, team->threads - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
}

struct team *team_start(int threads) {
    struct team *team = aligned_alloc(64, sizeof *team);
    struct member *members = calloc((size_t)threads, sizeof *members);
    if (team == NULL || members == NULL) abort();
    *team = (struct team){.threads = threads, .members = members};
    for (int i = 1; i < threads; i++) {
        members[i] = (struct member){.team = team, .thread = i};
        if (pthread_create(&members[i].handle, NULL, work, &members[i]) == 0) continue;
        fprintf(stderr, "the system refuses thread %d of %d\n", i + 1, threads);
        exit(1);
    }
    return team;
}

int team_size(const struct team *team) { return team->threads; }

void team_stop(struct team *team) {
    begin_round(team, NULL, NULL);
    for (int i = 1; i < team->threads; i++) pthread_join(team->members[i].handle, NULL);
    free(team->members);
    free(team);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double team_run(struct team *team, team_function *function, void *argument) {
    const double start = now();
    begin_round(team, function, argument);
    function(argument, 0);
    for (int left; (left = atomic_load_explicit(&team->busy, memory_order_acquire)) > 0;) wait_while(&team->busy, left);
    return now() - start;
}
