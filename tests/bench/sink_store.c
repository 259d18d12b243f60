/* What the sink remembers: a table of objects by key, one of uploads by id, and the memory for both. */
#include "sink.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *sink_alloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p) {
        fputs("sink: out of memory\n", stderr);
        abort();
    }
    return p;
}

char *sink_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(sink_alloc(1, size), s, size);
}

static void text_reserve(struct sink_text *text, size_t more)
{
    if (text->size - text->len > more)
        return;
    size_t size = text->size ? text->size * 2 : 1024;
    while (size - text->len <= more)
        size *= 2;
    char *data = realloc(text->data, size);
    if (!data)
        abort();
    text->data = data;
    text->size = size;
}

void sink_text_printf(struct sink_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        text_reserve(text, (size_t)n);
        vsnprintf(text->data + text->len, (size_t)n + 1, format, again);
        text->len += (size_t)n;
    }
    va_end(again);
}

void sink_text_key(struct sink_text *text, const char *key, bool url)
{
    for (const unsigned char *p = (const unsigned char *)key; *p; p++) {
        if (url &&
            !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", *p))
            sink_text_printf(text, "%%%02X", *p);
        else if (*p == '&' || *p == '<' || *p == '>' || *p == '"' || *p < ' ')
            sink_text_printf(text, "&#%d;", *p);
        else
            sink_text_printf(text, "%c", *p);
    }
}

void sink_text_release(struct sink_text *text)
{
    free(text->data);
    *text = (struct sink_text){0};
}

static uint64_t hash_of(const char *key)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return h;
}

static struct sink_object **slot_of(const struct sink_table *table, const char *key)
{
    struct sink_object **at = &table->slots[hash_of(key) & (table->n_slots - 1)];
    while (*at && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

static void grow(struct sink_table *table)
{
    size_t n_slots = table->n_slots * 4;
    struct sink_object **slots = sink_alloc(n_slots, sizeof *slots);
    for (size_t i = 0; i < table->n_slots; i++) {
        for (struct sink_object *o = table->slots[i], *next; o; o = next) {
            next = o->next;
            struct sink_object **at = &slots[hash_of(o->key) & (n_slots - 1)];
            o->next = *at;
            *at = o;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->n_slots = n_slots;
}

void sink_object_free(struct sink_object *object)
{
    if (!object)
        return;
    for (struct sink_part *p = object->parts, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(object->key);
    free(object->headers);
    free(object->target);
    free(object);
}

struct sink_object *sink_store_find(const struct sink_table *table, const char *key)
{
    return *slot_of(table, key);
}

void sink_store_put(struct sink_table *table, struct sink_object *object)
{
    sink_store_remove(table, object->key);
    if (table->count >= table->n_slots)
        grow(table);
    struct sink_object **at = slot_of(table, object->key);
    object->next = NULL;
    *at = object;
    table->count++;
}

struct sink_object *sink_store_take(struct sink_table *table, const char *key)
{
    struct sink_object **at = slot_of(table, key), *object = *at;
    if (object) {
        *at = object->next;
        table->count--;
    }
    return object;
}

bool sink_store_remove(struct sink_table *table, const char *key)
{
    struct sink_object *object = sink_store_take(table, key);
    sink_object_free(object);
    return object != NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct sink_object *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

struct sink_object **sink_store_sorted(struct sink_store *store)
{
    if (store->sorted)
        return store->sorted;
    const struct sink_table *table = &store->objects;
    store->sorted = sink_alloc(table->count + 1, sizeof(struct sink_object *));
    size_t n = 0;
    for (size_t i = 0; i < table->n_slots; i++)
        for (struct sink_object *o = table->slots[i]; o; o = o->next)
            store->sorted[n++] = o;
    qsort(store->sorted, n, sizeof(struct sink_object *), by_key);
    return store->sorted;
}

static void table_init(struct sink_table *table)
{
    *table = (struct sink_table){.n_slots = 1024};
    table->slots = sink_alloc(table->n_slots, sizeof(struct sink_object *));
}

static void table_release(struct sink_table *table)
{
    for (size_t i = 0; i < table->n_slots; i++) {
        for (struct sink_object *o = table->slots[i], *next; o; o = next) {
            next = o->next;
            sink_object_free(o);
        }
    }
    free(table->slots);
}

void sink_store_init(struct sink_store *store, const struct sink_options *options)
{
    *store = (struct sink_store){.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    table_init(&store->objects);
    table_init(&store->uploads);
}

void sink_store_reset(struct sink_store *store)
{
    table_release(&store->objects);
    table_release(&store->uploads);
    table_init(&store->objects);
    table_init(&store->uploads);
    free(store->sorted);
    store->sorted = NULL;
    store->stats = (struct sink_stats){0};
    store->allowance_ns = 0;
    atomic_store(&store->connections, 0);
    atomic_store(&store->open_peak, atomic_load(&store->open_now));
}

void sink_store_release(struct sink_store *store)
{
    table_release(&store->objects);
    table_release(&store->uploads);
    free(store->sorted);
}
