/*
 * Starting libguestfs's appliance, and talking to it. SPDX-License-Identifier: BSD-2-Clause
 */
#include "guestfs.h"

#ifdef HAVE_GUESTFS

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What to expect of a start, for people. */
#define SECONDS_KVM 5
#define SECONDS_TCG 20

/* ------------------------------------------------------------------ calls */

guestfs_h *imgi_guestfs_enter(struct imgi_assembly *assembly)
{
    pthread_mutex_lock(&assembly->lock);
    assembly->call.set_error_handler(assembly->handle, NULL, NULL); /* it would print */
    return assembly->handle;
}

void imgi_guestfs_leave(struct imgi_assembly *assembly)
{
    pthread_mutex_unlock(&assembly->lock);
}

int imgi_guestfs_fail(struct imgi_assembly *assembly, img_error *err, const char *format, ...)
{
    const char *said = assembly->call.last_error(assembly->handle);
    int os_errno = assembly->call.last_errno(assembly->handle);
    char what[256], why[384];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (os_errno > 0)
        return imgi_fail_errno(err, os_errno, "%s", what);
    snprintf(why, sizeof(why), "%s", said ? said : "libguestfs does not say why");
    for (char *c = why; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    return imgi_fail(err, IMG_E_IO, "%s: %s", what, why);
}

void imgi_guestfs_free_list(char **list)
{
    for (size_t n = 0; list && list[n]; n++)
        free(list[n]);
    free(list);
}

/* --------------------------------------------------------------- starting */

/* That the device is there does not mean that a machine can be made. */
static bool kvm_works(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), machine;

    if (fd < 0)
        return false;
    machine = ioctl(fd, KVM_CREATE_VM, 0);
    if (machine >= 0)
        close(machine);
    close(fd);
    return machine >= 0;
}

/* Libvirt's machines could not reach our sockets. The user may know better, as with the settings.
 */
static void configure(struct imgi_assembly *assembly, bool writable, bool emulate)
{
    const struct imgi_guestfs *call = &assembly->call;
    guestfs_h *handle = imgi_guestfs_enter(assembly);

    call->set_autosync(handle, writable);
    if (!getenv("LIBGUESTFS_BACKEND"))
        call->set_backend(handle, "direct");
    if (emulate)
        call->set_backend_setting(handle, "force_tcg", "1");
    imgi_guestfs_leave(assembly);
}

static int add_disk(struct imgi_assembly *assembly, const img_guest *guest, bool writable,
                    img_error *err)
{
    uint32_t sector = guest->params.sector_size;
    char address[128];
    char *const servers[] = {address, NULL};
    struct imgi_server **server = &assembly->servers[assembly->count];
    int rc = imgi_serve_start(server, guest->images[assembly->count], !writable, err);

    if (rc < 0)
        return rc;
    assembly->count++;
    snprintf(address, sizeof(address), "unix:%s", imgi_serve_socket(*server));
    imgi_guestfs_enter(assembly);
    if (assembly->call.add_drive_opts(
            assembly->handle, "", GUESTFS_ADD_DRIVE_OPTS_READONLY, !writable,
            GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", GUESTFS_ADD_DRIVE_OPTS_PROTOCOL, "nbd",
            GUESTFS_ADD_DRIVE_OPTS_SERVER, servers,
            sector == 4096 ? GUESTFS_ADD_DRIVE_OPTS_BLOCKSIZE : -1, (int)sector, -1) < 0)
        rc = imgi_guestfs_fail(assembly, err, "libguestfs does not take the disk");
    imgi_guestfs_leave(assembly);
    return rc;
}

static int launch(struct imgi_assembly *assembly, img_error *err)
{
    int rc = 0;

    imgi_guestfs_enter(assembly);
    if (assembly->call.launch(assembly->handle) < 0)
        rc = imgi_guestfs_fail(assembly, err,
                               "libguestfs's appliance does not start (libguestfs-test-tool says "
                               "why; Debian: it needs linux-image-amd64 and qemu-system-x86)");
    imgi_guestfs_leave(assembly);
    return rc;
}

static int start(struct imgi_assembly *assembly, const img_guest *guest, bool writable,
                 bool emulate, img_error *err)
{
    int rc;

    pthread_mutex_init(&assembly->lock, NULL);
    assembly->servers = calloc(guest->image_count, sizeof(struct imgi_server *));
    if (!assembly->servers)
        return imgi_fail_nomem(err, "an appliance");
    rc = imgi_guestfs_load(&assembly->call, err);
    if (rc < 0)
        return rc;
    assembly->handle = assembly->call.create_flags(GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
    if (!assembly->handle)
        return imgi_fail_nomem(err, "an appliance");
    configure(assembly, writable, emulate);
    for (size_t n = 0; rc == 0 && n < guest->image_count; n++)
        rc = add_disk(assembly, guest, writable, err);
    return rc < 0 ? rc : launch(assembly, err);
}

static int start_new(struct imgi_assembly **assembly, const img_guest *guest, bool writable,
                     bool emulate, img_error *err)
{
    int rc;

    *assembly = calloc(1, sizeof(**assembly));
    if (!*assembly)
        return imgi_fail_nomem(err, "an appliance");
    rc = start(*assembly, guest, writable, emulate, err);
    if (rc < 0) {
        imgi_guestfs_end(*assembly);
        *assembly = NULL;
    }
    return rc;
}

int imgi_appliance_start(struct imgi_assembly **assembly, const img_guest *guest,
                         const char *purpose, bool writable, img_error *err)
{
    bool chosen = getenv("LIBGUESTFS_BACKEND_SETTINGS"), fast = !chosen && kvm_works();
    int rc;

    *assembly = NULL;
    if (guest->params.flags & IMG_GUEST_NO_APPLIANCE)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "libguestfs's appliance would be needed to %s, and is not to be started",
                         purpose);
    imgi_guest_notice(guest, "starting libguestfs's appliance to %s; this takes about %d s%s",
                      purpose, fast ? SECONDS_KVM : SECONDS_TCG,
                      fast || chosen ? "" : " (there is no KVM)");
    rc = start_new(assembly, guest, writable, !chosen && !fast, err);
    if (rc < 0 && fast) {
        /* KVM may be there and not be good for a whole machine. */
        imgi_guest_notice(guest,
                          "the appliance does not start with KVM: it is tried without, which takes "
                          "about %d s (LIBGUESTFS_BACKEND_SETTINGS=force_tcg does so at once)",
                          SECONDS_TCG);
        rc = start_new(assembly, guest, writable, true, err);
    }
    return rc;
}

void imgi_guestfs_end(struct imgi_assembly *assembly)
{
    if (!assembly)
        return;
    if (assembly->handle) {
        imgi_guestfs_enter(assembly);
        assembly->call.close(assembly->handle);
        imgi_guestfs_leave(assembly);
    }
    for (size_t n = 0; n < assembly->count; n++)
        imgi_serve_stop(assembly->servers[n]);
    free(assembly->servers);
    pthread_mutex_destroy(&assembly->lock);
    free(assembly);
}

/* ---------------------------------------------------- the appliance of a guest */

int imgi_guestfs_start_locked(img_guest *guest, const char *purpose, img_error *err)
{
    struct imgi_assembly *assembly;
    img_error why = {0};
    int rc;

    if (guest->assembly)
        return 0;
    if (guest->start_failure.code) { /* it would fail in the same way, as slowly */
        if (err)
            *err = guest->start_failure;
        return guest->start_failure.code;
    }
    rc = imgi_appliance_start(&assembly, guest, purpose, false, &why);
    if (rc < 0) {
        guest->start_failure = why;
        if (err)
            *err = why;
        return rc;
    }
    pthread_mutex_lock(&guest->lock);
    guest->assembly = assembly;
    pthread_mutex_unlock(&guest->lock);
    return 0;
}

#endif /* HAVE_GUESTFS */
