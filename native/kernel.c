/* Which instruction set to run with. */
#include "kernel.h"

#include <string.h>

static bool runs_here(const struct kernel *kernel) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (kernel == &kernel_avx512) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    }
    if (kernel == &kernel_avx2) {
        /* Not every compiler can be asked for F16C: no CPU has AVX2 without it. */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#endif
    (void)kernel;
    return true;
}

/* Fastest first. */
static const struct kernel *const levels[] = {
#if defined(__x86_64__)
    &kernel_avx512,
    &kernel_avx2,
#elif defined(__aarch64__)
    &kernel_neon,
#endif
    &kernel_portable,
};

enum { LEVELS = sizeof levels / sizeof levels[0] };

const struct kernel *kernel_at(int index) {
    for (int i = 0; i < LEVELS; i++) {
        if (runs_here(levels[i]) && index-- == 0) return levels[i];
    }
    return NULL;
}

const struct kernel *kernel_named(const char *name) {
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i]->name, name) == 0 && runs_here(levels[i])) return levels[i];
    }
    return NULL;
}
