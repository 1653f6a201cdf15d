/* Is the mirror true? Asked of nodes that the loaded ggml made. */
#include "ggml_abi.h"

#include "quire_attention.h"

#include <string.h>

static const char *check_tensor(const struct ggml_tensor *t, const char *name) {
    static const int64_t ne[4] = {3, 5, 7, 11};
    if (t->type != GGML_TYPE_F32) return "ggml_tensor.type";
    if (memcmp(t->ne, ne, sizeof ne) != 0) return "ggml_tensor.ne";
    if (t->nb[0] != 4 || t->nb[1] != 12 || t->nb[2] != 60 || t->nb[3] != 420) return "ggml_tensor.nb";
    if (strncmp(t->name, name, sizeof t->name) != 0) return "ggml_tensor.name";
    return NULL;
}

static const char *check_set_rows(const struct quire_layout_probe *probe) {
    const struct ggml_tensor *t = probe->set_rows;
    if (t->src[0] != probe->rows || t->src[1] != probe->indices || t->src[2] != probe->cache) {
        return "sources of set_rows";
    }
    if (t->view_src != probe->cache) return "ggml_tensor.view_src";
    return NULL;
}

static const char *check_flash_attention(const struct quire_layout_probe *probe) {
    const struct ggml_tensor *t = probe->flash_attention;
    if (t->src[0] != probe->query || t->src[1] != probe->key || t->src[2] != probe->value ||
        t->src[3] != probe->mask || t->src[4] != probe->sinks) {
        return "sources of flash_attn_ext";
    }
    struct ggml_flash_attention_params params;
    memcpy(&params, t->op_params, sizeof params);
    if (params.scale != 0.5f || params.max_bias != 0.25f || params.logit_softcap != 0.125f) {
        return "op_params of flash_attn_ext";
    }
    return NULL;
}

static const char *check_custom(const struct quire_layout_probe *probe) {
    struct ggml_custom_params params;
    memcpy(&params, probe->custom->op_params, sizeof params);
    /* As bytes: ISO C does not compare pointers to functions with pointers to data. */
    if (memcmp(&params.function, &probe->function, sizeof probe->function) != 0 ||
        params.n_tasks != GGML_N_TASKS_MAX || params.user_data != probe->user_data) {
        return "op_params of custom";
    }
    return NULL;
}

static const char *check_norm(const struct quire_layout_probe *probe) {
    const struct ggml_tensor *sum = probe->add, *norm = probe->rms_norm, *product = probe->multiply;
    if (sum->src[0] != probe->rows || sum->src[1] != probe->sum_with) return "sources of add";
    float epsilon;
    memcpy(&epsilon, norm->op_params, sizeof epsilon);
    if (norm->src[0] != sum || epsilon != 0.75f) return "rms_norm";
    if (product->src[0] != norm || product->src[1] != probe->weight) return "sources of mul";
    return NULL;
}

static const char *check_rope(const struct quire_layout_probe *probe) {
    const struct ggml_tensor *t = probe->rope;
    if (t->src[0] != probe->query || t->src[1] != probe->positions || t->src[2] != probe->divisors) return "sources of rope";
    struct ggml_rope_params params;
    _Static_assert(sizeof params == sizeof t->op_params, "a rotation has other parameters");
    memcpy(&params, t->op_params, sizeof params);
    const bool right = params.dimensions == 16 && params.mode == GGML_ROPE_HALVES && params.trained_length == 3 &&
                       params.base == 4 && params.scale == 5 && params.extrapolation == 6 && params.magnitude == 7 &&
                       params.beta_fast == 8 && params.beta_slow == 9 && params.offset == 0;
    return right && probe->positions->type == GGML_TYPE_I32 ? NULL : "op_params of rope";
}

const char *quire_check_layout(const struct quire_layout_probe *probe, struct quire_op_codes *codes) {
    const char *wrong = check_tensor(probe->tensor, probe->name);
    if (wrong == NULL) wrong = check_set_rows(probe);
    if (wrong == NULL) wrong = check_flash_attention(probe);
    if (wrong == NULL) wrong = check_custom(probe);
    if (wrong == NULL) wrong = check_norm(probe);
    if (wrong == NULL) wrong = check_rope(probe);
    codes->set_rows = probe->set_rows->op;
    codes->flash_attention = probe->flash_attention->op;
    codes->custom = probe->custom->op;
    codes->add = probe->add->op;
    codes->rms_norm = probe->rms_norm->op;
    codes->multiply = probe->multiply->op;
    codes->rope = probe->rope->op;
    codes->view = probe->view->op;
    codes->reshape = probe->reshape->op;
    codes->permute = probe->permute->op;
    codes->transpose = probe->transpose->op;
    return wrong;
}
