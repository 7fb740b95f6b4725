/*
 * Inspection: rpm's database in SQLite. SPDX-License-Identifier: BSD-2-Clause
 *
 * SQLite reads the guest's files by a VFS of our own, which knows two of them, the database and its
 * write-ahead log, and writes nothing. What statements may touch is held to the one table, however
 * the schema in the file defines it.
 */
#include "inspect_rpm.h"
#include "util/library.h"

#ifndef HAVE_SQLITE3

int imgi_rpm_sqlite(img_file *database, img_file *wal, struct imgi_rpm_headers *headers,
                    img_error *err)
{
    (void)database, (void)wal, (void)headers;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "it is read with SQLite, which this libimg was built without (Debian: "
                     "libsqlite3-dev)");
}

#else

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 100 /* times STEPS of SQLite's machine: a package takes about ten */
#define STEPS 100000

/* ---------------------------------------------------------------- library */

#define SONAME "libsqlite3.so.0"

#define FUNCTIONS(F)                                                                               \
    F(sqlite3_vfs_find)                                                                            \
    F(sqlite3_vfs_register)                                                                        \
    F(sqlite3_vfs_unregister)                                                                      \
    F(sqlite3_open_v2)                                                                             \
    F(sqlite3_close)                                                                               \
    F(sqlite3_limit)                                                                               \
    F(sqlite3_exec)                                                                                \
    F(sqlite3_set_authorizer)                                                                      \
    F(sqlite3_progress_handler)                                                                    \
    F(sqlite3_prepare_v2)                                                                          \
    F(sqlite3_step)                                                                                \
    F(sqlite3_column_blob)                                                                         \
    F(sqlite3_column_bytes)                                                                        \
    F(sqlite3_finalize)                                                                            \
    F(sqlite3_errmsg)

/* One pointer a function, of the function's own name and type. */
struct library {
#define FIELD(function) __typeof__(function) *function;
    FUNCTIONS(FIELD)
};

static int load(struct library *library, img_error *err)
{
    static const struct imgi_symbol symbols[] = {
#define SYMBOL(function) {#function, offsetof(struct library, function), false},
        FUNCTIONS(SYMBOL)};

    return imgi_library_load(
        library, SONAME, symbols, IMGI_COUNT(symbols),
        "it is read with " SONAME " (Debian: libsqlite3-0), which cannot be loaded", err);
}

/* ------------------------------------------------------------------ files */

/* The VFS, with the two files that it has. */
struct vfs {
    sqlite3_vfs base;
    img_file *database, *wal;
    char name[32];
};

/* What SQLite has open; file NULL: an empty one. */
struct handle {
    sqlite3_file base;
    img_file *file;
};

static int handle_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

static int handle_read(sqlite3_file *base, void *buffer, int length, sqlite3_int64 offset)
{
    img_file *file = ((struct handle *)base)->file;
    size_t got = (size_t)length;

    if (!file)
        got = 0;
    else if (img_file_read(file, (uint64_t)offset, buffer, &got, NULL) < 0)
        return SQLITE_IOERR_READ;
    memset((char *)buffer + got, 0, (size_t)length - got);
    return got == (size_t)length ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int handle_write(sqlite3_file *file, const void *buffer, int length, sqlite3_int64 offset)
{
    (void)file, (void)buffer, (void)length, (void)offset;
    return SQLITE_READONLY;
}

static int handle_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)file, (void)size;
    return SQLITE_READONLY;
}

static int handle_size(sqlite3_file *base, sqlite3_int64 *size)
{
    img_file *file = ((struct handle *)base)->file;

    *size = file ? (sqlite3_int64)img_file_size(file) : 0;
    return SQLITE_OK;
}

/* Sync, lock and unlock: nobody else is there. */
static int handle_nothing(sqlite3_file *file, int how)
{
    (void)file, (void)how;
    return SQLITE_OK;
}

static int handle_check_lock(sqlite3_file *file, int *locked)
{
    (void)file;
    *locked = 0;
    return SQLITE_OK;
}

static int handle_control(sqlite3_file *file, int operation, void *argument)
{
    (void)file, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

static int handle_number(sqlite3_file *file)
{
    (void)file;
    return 0; /* the sector size is up to SQLite, and the device has no characteristics */
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = handle_close,
    .xRead = handle_read,
    .xWrite = handle_write,
    .xTruncate = handle_truncate,
    .xSync = handle_nothing,
    .xFileSize = handle_size,
    .xLock = handle_nothing,
    .xUnlock = handle_nothing,
    .xCheckReservedLock = handle_check_lock,
    .xFileControl = handle_control,
    .xSectorSize = handle_number,
    .xDeviceCharacteristics = handle_number,
};

static int vfs_open(sqlite3_vfs *base, sqlite3_filename name, sqlite3_file *file, int flags,
                    int *out_flags)
{
    struct vfs *vfs = (struct vfs *)base;
    struct handle *handle = (struct handle *)file;

    (void)name;
    handle->base.pMethods = NULL;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return SQLITE_CANTOPEN;
    handle->base.pMethods = &methods;
    handle->file = flags & SQLITE_OPEN_WAL ? vfs->wal : vfs->database;
    if (out_flags)
        *out_flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)name, (void)sync;
    return SQLITE_READONLY;
}

/* A rollback journal is left alone: the database is read as it is. */
static int vfs_access(sqlite3_vfs *base, const char *name, int flags, int *result)
{
    size_t length = strlen(name);

    (void)flags;
    *result = length > 4 && strcmp(name + length - 4, "-wal") == 0 && ((struct vfs *)base)->wal;
    return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int room, char *full)
{
    (void)vfs;
    return snprintf(full, (size_t)room, "%s", name) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static bool vfs_begin(struct vfs *vfs, const struct library *library)
{
    const sqlite3_vfs *usual = library->sqlite3_vfs_find(NULL);

    if (!usual)
        return false;
    snprintf(vfs->name, sizeof(vfs->name), "img-%p", (void *)vfs);
    vfs->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 64,
        .zName = vfs->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_name,
        .xRandomness = usual->xRandomness,
        .xSleep = usual->xSleep,
        .xCurrentTime = usual->xCurrentTime,
    };
    return library->sqlite3_vfs_register(&vfs->base, 0) == SQLITE_OK;
}

/* -------------------------------------------------------------- statement */

/* By the table's own name, and not through a view or a trigger (which is then the fifth). */
static int authorize(void *opaque, int action, const char *table, const char *column,
                     const char *database, const char *inner)
{
    (void)opaque, (void)column, (void)database;
    if (action == SQLITE_SELECT)
        return SQLITE_OK;
    return action == SQLITE_READ && !inner && table && strcmp(table, "Packages") == 0 ? SQLITE_OK
                                                                                      : SQLITE_DENY;
}

/* Not 0 ends what takes too long. */
static int count_steps(void *opaque)
{
    unsigned *steps = opaque;

    return ++*steps > STEPS_MAX;
}

/* A database that is open. */
struct session {
    const struct library *library;
    sqlite3 *database;
    sqlite3_stmt *rows;
    unsigned steps;
};

static int fail(const struct session *session, img_error *err)
{
    return imgi_fail(err, IMG_E_CORRUPT, "SQLite cannot read it: %s",
                     session->library->sqlite3_errmsg(session->database));
}

/*
 * Being alone, SQLite needs no memory that it would share with others to read the log. The pragmas
 * must come before the authorizer, who forbids them.
 */
static int begin(struct session *session, const struct vfs *vfs, img_error *err)
{
    static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF;"
                                  "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0";
    const struct library *library = session->library;

    if (library->sqlite3_open_v2("rpmdb", &session->database,
                                 SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX,
                                 vfs->name) != SQLITE_OK)
        return session->database ? fail(session, err) : imgi_fail_nomem(err, "a database");
    library->sqlite3_limit(session->database, SQLITE_LIMIT_LENGTH, (int)IMGI_RPM_HEADER_MAX);
    library->sqlite3_progress_handler(session->database, STEPS, count_steps, &session->steps);
    if (library->sqlite3_exec(session->database, pragmas, NULL, NULL, NULL) != SQLITE_OK ||
        library->sqlite3_set_authorizer(session->database, authorize, NULL) != SQLITE_OK ||
        library->sqlite3_prepare_v2(session->database, "SELECT blob FROM Packages", -1,
                                    &session->rows, NULL) != SQLITE_OK)
        return fail(session, err);
    return 0;
}

static int read_rows(struct session *session, struct imgi_rpm_headers *headers, img_error *err)
{
    const struct library *library = session->library;
    int rc = 0, step;

    while (rc == 0) {
        const void *bytes;

        step = library->sqlite3_step(session->rows);
        if (step == SQLITE_DONE)
            return 0;
        if (step != SQLITE_ROW)
            return fail(session, err);
        bytes = library->sqlite3_column_blob(session->rows, 0);
        if (bytes)
            rc = imgi_rpm_header(headers, bytes,
                                 (size_t)library->sqlite3_column_bytes(session->rows, 0), err);
    }
    return rc;
}

int imgi_rpm_sqlite(img_file *database, img_file *wal, struct imgi_rpm_headers *headers,
                    img_error *err)
{
    struct vfs vfs = {.database = database, .wal = wal};
    struct library library;
    struct session session = {.library = &library};
    int rc = load(&library, err);

    if (rc < 0)
        return rc;
    if (!vfs_begin(&vfs, &library))
        return imgi_fail(err, IMG_E_INTERNAL, "SQLite takes no VFS");
    rc = begin(&session, &vfs, err);
    if (rc == 0)
        rc = read_rows(&session, headers, err);
    library.sqlite3_finalize(session.rows);
    library.sqlite3_close(session.database);
    library.sqlite3_vfs_unregister(&vfs.base);
    return rc;
}

#endif
