/*
 * Changing LUKS key slots as `qemu-img amend` does. SPDX-License-Identifier: BSD-2-Clause
 *
 * The messages are qemu-img's own: scripts look at them.
 */
#include <string.h>

#include "luks.h"

static unsigned count_active(const struct imgi_luks_header *header)
{
    unsigned count = 0;

    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++)
        count += header->slots[n].active;
    return count;
}

/* The first slot that is free, or IMG_E_NOSPACE. */
static int find_free(const struct imgi_luks_header *header, img_error *err)
{
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        if (!header->slots[n].active)
            return (int)n;
    }
    return imgi_fail(err, IMG_E_NOSPACE, "Can't add a keyslot - all keyslots are in use");
}

static int activate(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                    const struct imgi_luks_change *change, const uint8_t *key, img_error *err)
{
    int slot = (int)change->slot;

    if (!change->new_passphrase)
        return imgi_fail(err, IMG_E_INVAL, "'new-secret' is required to activate a keyslot");
    if (change->old_passphrase)
        return imgi_fail(err, IMG_E_INVAL,
                         "'old-secret' must not be given when activating keyslots");
    if (!change->has_slot)
        slot = find_free(header, err);
    if (slot < 0)
        return slot;
    if (header->slots[slot].active && !change->force)
        return imgi_fail(err, IMG_E_EXISTS,
                         "Refusing to overwrite active keyslot %d - please erase it first", slot);
    return imgi_luks_fill_slot(header, area, (unsigned)slot, change->new_passphrase,
                               change->has_iter_time ? change->iter_time : 0, key, err);
}

/* Which of the active slots the passphrase opens. */
static int match(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                 const struct imgi_passphrase *passphrase, bool matches[IMGI_LUKS_SLOTS],
                 img_error *err)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    int rc = 0;

    memset(matches, 0, IMGI_LUKS_SLOTS * sizeof(matches[0]));
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS && rc == 0; n++) {
        if (header->slots[n].active)
            rc = imgi_luks_open_slot(header, area, n, passphrase, key, &matches[n], err);
    }
    explicit_bzero(key, sizeof(key));
    return rc;
}

static int erase_slot(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                      const struct imgi_luks_change *change, img_error *err)
{
    unsigned slot = (unsigned)change->slot;
    bool matches[IMGI_LUKS_SLOTS];

    if (!header->slots[slot].active)
        return imgi_fail(err, IMG_E_INVAL, "Given keyslot %u is already erased (inactive) ", slot);
    if (count_active(header) == 1 && !change->force)
        return imgi_fail(
            err, IMG_E_INVAL,
            "Attempt to erase the only active keyslot %u which will erase all the data "
            "in the image irreversibly - refusing operation",
            slot);
    if (change->old_passphrase) {
        int rc = match(header, area, change->old_passphrase, matches, err);

        if (rc < 0)
            return rc;
        if (!matches[slot])
            return imgi_fail(err, IMG_E_INVAL,
                             "Given keyslot %u doesn't contain the given old password for erase "
                             "operation",
                             slot);
    }
    return imgi_luks_erase_slot(header, area, slot, err);
}

static int erase_matching(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                          const struct imgi_luks_change *change, img_error *err)
{
    bool matches[IMGI_LUKS_SLOTS];
    unsigned count = 0;
    int rc = match(header, area, change->old_passphrase, matches, err);

    for (unsigned n = 0; n < IMGI_LUKS_SLOTS && rc == 0; n++)
        count += matches[n];
    if (rc == 0 && count == 0)
        return imgi_fail(err, IMG_E_INVAL,
                         "No keyslots match given (old) password for erase operation");
    if (rc == 0 && count == count_active(header) && !change->force)
        return imgi_fail(err, IMG_E_INVAL,
                         "All the active keyslots match the (old) password that was given and "
                         "erasing them will erase all the data in the image irreversibly - "
                         "refusing operation");
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS && rc == 0; n++) {
        if (matches[n])
            rc = imgi_luks_erase_slot(header, area, n, err);
    }
    return rc;
}

static int deactivate(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                      const struct imgi_luks_change *change, img_error *err)
{
    if (change->new_passphrase)
        return imgi_fail(err, IMG_E_INVAL, "'new-secret' must not be given when erasing keyslots");
    if (change->has_iter_time)
        return imgi_fail(err, IMG_E_INVAL, "'iter-time' must not be given when erasing keyslots");
    if (change->has_slot)
        return erase_slot(header, area, change, err);
    if (change->old_passphrase)
        return erase_matching(header, area, change, err);
    return imgi_fail(err, IMG_E_INVAL,
                     "To erase keyslot(s), either explicit keyslot index or the password currently "
                     "contained in them must be given");
}

int imgi_luks_amend(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                    const struct imgi_luks_change *change, const uint8_t *key, img_error *err)
{
    if (change->has_slot && (change->slot < 0 || change->slot >= IMGI_LUKS_SLOTS))
        return imgi_fail(err, IMG_E_INVAL,
                         "Invalid keyslot %lld specified, must be between 0 and %d",
                         (long long)change->slot, IMGI_LUKS_SLOTS - 1);
    if (change->activate)
        return activate(header, area, change, key, err);
    return deactivate(header, area, change, err);
}
