/* Which instruction set to run with. */
#include "kernel.h"

#include <string.h>

static bool runs_here(const struct kernel *kernel) {
#if defined(__x86_64__)
    if (kernel == &kernel_avx512) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    }
#endif
    return kernel == &kernel_portable;
}

/* Fastest first. */
static const struct kernel *const levels[] = {
#if defined(__x86_64__)
    &kernel_avx512,
#endif
    &kernel_portable,
};

enum { LEVELS = sizeof levels / sizeof levels[0] };

const struct kernel *kernel_best(void) {
    for (int i = 0; i < LEVELS; i++) {
        if (runs_here(levels[i])) return levels[i];
    }
    return &kernel_portable;
}

const struct kernel *kernel_named(const char *name) {
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i]->name, name) == 0 && runs_here(levels[i])) return levels[i];
    }
    return NULL;
}
