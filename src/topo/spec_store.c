#include "topo/spec_store.h"

#include <string.h>

bool kb_param_is_list(const kb_param *param)
{
    return param->type == KB_PARAM_INT_LIST || param->type == KB_PARAM_REAL_LIST ||
           param->type == KB_PARAM_STRING_LIST;
}

bool kb_param_is_text(const kb_param *param)
{
    return param->type == KB_PARAM_STRING || param->type == KB_PARAM_CHOICE ||
           param->type == KB_PARAM_STRING_LIST;
}

void kb_atoms_free(const kb_param *param, kb_atom *atoms, size_t count)
{
    if (param && kb_param_is_text(param))
        for (size_t i = 0; i < count; i++) free(atoms[i].text);
    free(atoms);
}

static void clear(kb_value *value)
{
    if (value->atoms) kb_atoms_free(value->param, value->atoms, value->count);
    value->atoms = NULL;
    value->absent = true;
}

void kb_spec_store_fini(kb_spec_store *store)
{
    for (size_t i = 0; i < store->values.count; i++) {
        clear(&store->values.data[i]);
        free(store->values.data[i].path);
    }
    kb_vec_free(&store->values);
    free(store->slots);
    *store = (kb_spec_store){0};
}

/* FNV-1a. */
static size_t hash(const char *path, size_t length)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)path[i]) * 1099511628211u;
    return (size_t)h;
}

/* The slot of `path`, or the free one where it belongs. */
static size_t *slot_of(const kb_spec_store *store, const char *path, size_t length)
{
    size_t mask = store->slot_count - 1;
    for (size_t i = hash(path, length) & mask;; i = (i + 1) & mask) {
        size_t *slot = &store->slots[i];
        if (*slot == 0) return slot;
        const char *there = store->values.data[*slot - 1].path;
        if (strncmp(there, path, length) == 0 && there[length] == '\0') return slot;
    }
}

/* Keep at least half of the slots free. */
static void grow(kb_spec_store *store)
{
    if (2 * (store->values.count + 1) <= store->slot_count) return;
    store->slot_count = store->slot_count ? 2 * store->slot_count : 256;
    free(store->slots);
    store->slots = kb_xcalloc(store->slot_count, sizeof *store->slots);
    for (size_t i = 0; i < store->values.count; i++) {
        const char *path = store->values.data[i].path;
        *slot_of(store, path, strlen(path)) = i + 1;
    }
}

const kb_value *kb_spec_store_find(const kb_spec_store *store, const char *path, size_t length)
{
    if (store->slot_count == 0) return NULL;
    size_t slot = *slot_of(store, path, length);
    if (slot == 0 || store->values.data[slot - 1].absent) return NULL;
    return &store->values.data[slot - 1];
}

void kb_spec_store_put(kb_spec_store *store, const char *path, kb_value value)
{
    grow(store);
    size_t *slot = slot_of(store, path, strlen(path));
    value.absent = false;
    if (*slot == 0) {
        value.path = kb_xstrdup(path);
        kb_vec_push(&store->values, value);
        *slot = store->values.count;
    } else {
        kb_value *old = &store->values.data[*slot - 1];
        clear(old);
        value.path = old->path;
        *old = value;
    }
}

void kb_spec_store_forget_elements(kb_spec_store *store, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < store->values.count; i++) {
        kb_value *value = &store->values.data[i];
        if (strncmp(value->path, path, length) == 0 && value->path[length] == '[') clear(value);
    }
}
