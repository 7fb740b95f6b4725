/*
 * A cache of metadata tables: blocks of one size, each read and written at its own place in a
 * file. SPDX-License-Identifier: BSD-2-Clause
 *
 * A service to formats. Tables are written back in ascending order, neighbours in one call, only
 * the bytes that changed, and never before the hook before_write has put what they refer to in
 * its place. A table is clean only once its write succeeded.
 *
 * Locking: none of its own. The owner's lock (node->lock) covers every call.
 */
#ifndef IMGI_CACHE_H
#define IMGI_CACHE_H

#include "io/io.h"

struct imgi_cache;

struct imgi_cache_params {
    struct imgi_io *io;
    const char *what;    /* names a table in errors: "L2 table"; constant */
    uint32_t table_size; /* bytes of a table; a power of two */
    size_t budget;       /* bytes of all tables in memory; two tables at least are kept */
    /* Called before tables are written back: puts on disk what must be there first. May be NULL. */
    int (*before_write)(void *opaque, img_error *err);
    void *opaque;
};

/* Memory for tables is taken when the first one is asked for. */
int imgi_cache_new(struct imgi_cache **cache, const struct imgi_cache_params *params,
                   img_error *err);
/* Writes nothing. NULL is allowed. */
void imgi_cache_free(struct imgi_cache *cache);

/*
 * The table at that offset of the file, which must hold it whole. *table stays valid until the
 * next get or add of this cache; changes to it are told with imgi_cache_dirty.
 */
int imgi_cache_get(struct imgi_cache *cache, uint64_t offset, uint8_t **table, img_error *err);

/* Whether get would find the table in memory. */
bool imgi_cache_has(const struct imgi_cache *cache, uint64_t offset);

/*
 * As imgi_cache_get, for a table that the file does not have yet: a copy of the one at `like`,
 * or zeros when like is 0. All of it is written at the next write-back.
 */
int imgi_cache_add(struct imgi_cache *cache, uint64_t offset, uint64_t like, uint8_t **table,
                   img_error *err);

/* length bytes from `from` of a table that get or add gave out have changed. */
void imgi_cache_dirty(struct imgi_cache *cache, const uint8_t *table, size_t from, size_t length);

/* The table at that offset is none any more: what is cached of it is not written. */
void imgi_cache_forget(struct imgi_cache *cache, uint64_t offset);

/* Whether there is anything to write back. */
bool imgi_cache_is_dirty(const struct imgi_cache *cache);

/* Write back all that changed. Does not flush the file. */
int imgi_cache_write(struct imgi_cache *cache, img_error *err);

#endif
