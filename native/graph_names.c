#include "graph_names.h"

#include <stdio.h>

int graph_cache_layer(const struct ggml_tensor *tensor, char kind) {
    char found, more;
    int layer;
    if (sscanf(tensor->name, "cache_%c_l%d%c", &found, &layer, &more) != 2) return -1;
    return found == kind ? layer : -1;
}

struct ggml_tensor *graph_without_views(struct ggml_tensor *tensor) {
    while (tensor->view_src != NULL) tensor = tensor->view_src;
    return tensor;
}
