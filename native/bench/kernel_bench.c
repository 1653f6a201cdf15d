/*
 * kernel_bench levels                  the instruction sets that this machine can run, one a line
 * kernel_bench peaks threads=N         what the machine can do (peaks.h), as JSON
 * kernel_bench attend NAME=VALUE ...   one case of attention (attention_case.h), as JSON
 */
#include "attention_case.h"
#include "peaks.h"

#include "quire_attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parameter {
    const char *name;
    int32_t *value;
};

static void usage(const char *argument) {
    fprintf(stderr, "what is \"%s\"? usage: kernel_bench levels | peaks threads=N | attend NAME=VALUE ...\n", argument);
    exit(2);
}

/* Sets the parameter that "NAME=VALUE" names. */
static void parse(const char *argument, const struct parameter *parameters, const char **level) {
    const char *equals = strchr(argument, '=');
    if (equals == NULL) usage(argument);
    const size_t length = (size_t)(equals - argument);
    if (length == strlen("level") && strncmp(argument, "level", length) == 0) {
        *level = equals + 1;
        return;
    }
    for (; parameters->name != NULL; parameters++) {
        if (strlen(parameters->name) != length || strncmp(argument, parameters->name, length) != 0) continue;
        *parameters->value = (int32_t)strtol(equals + 1, NULL, 10);
        return;
    }
    usage(argument);
}

int main(int argc, char **argv) {
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "levels") == 0) {
        for (int32_t i = 0; quire_level(i) != NULL; i++) printf("%s\n", quire_level(i));
        return 0;
    }
    int32_t threads = 1;
    struct attention_case test = {
        .level = quire_level(0),
        .kv_heads = 1,
        .group = 1,
        .head_size = 64,
        .sequences = 1,
        .rows = 1,
        .positions = 1,
    };
    const struct parameter parameters[] = {
        {"threads", &threads},       {"page_type", &test.page_type}, {"kv_heads", &test.kv_heads},
        {"group", &test.group},      {"head_size", &test.head_size}, {"sequences", &test.sequences},
        {"rows", &test.rows},        {"positions", &test.positions}, {"shared", &test.shared},
        {NULL, NULL},
    };
    for (int i = 2; i < argc; i++) parse(argv[i], parameters, &test.level);

    struct team *team = team_start(threads);
    if (strcmp(command, "peaks") == 0) peaks_print(team);
    else if (strcmp(command, "attend") == 0) attention_case_print(&test, team);
    else usage(command);
    team_stop(team);
    return 0;
}
