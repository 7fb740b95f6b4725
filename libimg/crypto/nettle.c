/*
 * Serpent, Twofish and CAST5 by libnettle. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing here changes after imgi_nettle_new: libnettle keeps a key in memory that is only read.
 */
#include "nettle.h"

#ifdef HAVE_NETTLE

#include <dlfcn.h>
#include <nettle/cbc.h>
#include <nettle/ctr.h>
#include <nettle/nettle-meta.h>
#include <nettle/xts.h>
#include <stdlib.h>
#include <string.h>

#include "../util/bytes.h"
#include "../util/checked.h"

#define BLOCK_MAX 16

/* Of nettle 3.6 and later. */
static const char soname[] = "libnettle.so.8";

struct library {
    __typeof__(nettle_cbc_encrypt) *cbc_encrypt;
    __typeof__(nettle_cbc_decrypt) *cbc_decrypt;
    __typeof__(nettle_ctr_crypt) *ctr_crypt;
    __typeof__(nettle_xts_encrypt_message) *xts_encrypt;
    __typeof__(nettle_xts_decrypt_message) *xts_decrypt;
};

/* A cipher under a key. */
struct keyed {
    const struct nettle_cipher *cipher;
    void *encrypt, *decrypt; /* context_size bytes each */
};

struct imgi_nettle {
    struct library library;
    struct imgi_cipher_params params;
    struct keyed data;
    struct keyed tweak; /* XTS; or else empty */
    struct keyed essiv; /* or empty */
};

/* ---------------------------------------------------------------- library */

/* The names of libnettle's descriptions of ciphers. */
static const char *symbol_of(enum imgi_cipher_alg alg)
{
    switch (alg) {
    case IMGI_SERPENT_128:
        return "nettle_serpent128";
    case IMGI_SERPENT_192:
        return "nettle_serpent192";
    case IMGI_SERPENT_256:
        return "nettle_serpent256";
    case IMGI_TWOFISH_128:
        return "nettle_twofish128";
    case IMGI_TWOFISH_192:
        return "nettle_twofish192";
    case IMGI_TWOFISH_256:
        return "nettle_twofish256";
    case IMGI_CAST5_128:
        return "nettle_cast128";
    default:
        return NULL;
    }
}

static bool load(struct library *library, void *handle)
{
    const struct {
        const char *name;
        void *to;
    } functions[] = {
        {"nettle_cbc_encrypt", &library->cbc_encrypt},
        {"nettle_cbc_decrypt", &library->cbc_decrypt},
        {"nettle_ctr_crypt", &library->ctr_crypt},
        {"nettle_xts_encrypt_message", &library->xts_encrypt},
        {"nettle_xts_decrypt_message", &library->xts_decrypt},
    };

    for (size_t i = 0; i < IMGI_COUNT(functions); i++) {
        void *address = dlsym(handle, functions[i].name);

        if (!address)
            return false;
        memcpy(functions[i].to, &address, sizeof(address));
    }
    return true;
}

/* ------------------------------------------------------------------- keys */

static void keyed_free(struct keyed *keyed)
{
    void *contexts[] = {keyed->encrypt, keyed->decrypt};

    for (size_t i = 0; i < IMGI_COUNT(contexts); i++) {
        if (contexts[i])
            explicit_bzero(contexts[i], keyed->cipher->context_size);
        free(contexts[i]);
    }
}

static int keyed_new(struct keyed *keyed, const struct nettle_cipher *cipher, const uint8_t *key,
                     img_error *err)
{
    keyed->cipher = cipher;
    keyed->encrypt = calloc(1, cipher->context_size);
    keyed->decrypt = calloc(1, cipher->context_size);
    if (!keyed->encrypt || !keyed->decrypt)
        return imgi_fail_nomem(err, "encryption");
    cipher->set_encrypt_key(keyed->encrypt, key);
    cipher->set_decrypt_key(keyed->decrypt, key);
    return 0;
}

static int set_keys(struct imgi_nettle *nettle, void *handle, const uint8_t *key,
                    const uint8_t *essiv_key, img_error *err)
{
    const struct imgi_cipher_params *params = &nettle->params;
    const struct nettle_cipher *cipher = dlsym(handle, symbol_of(params->alg)), *essiv = NULL;
    int rc;

    if (essiv_key)
        essiv = dlsym(handle, symbol_of(imgi_cipher_essiv_alg(params)));
    if (!cipher || (essiv_key && !essiv))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s has no %s", soname, symbol_of(params->alg));
    rc = keyed_new(&nettle->data, cipher, key, err);
    if (rc == 0 && params->mode == IMGI_MODE_XTS)
        rc = keyed_new(&nettle->tweak, cipher, key + cipher->key_size, err);
    if (rc == 0 && essiv)
        rc = keyed_new(&nettle->essiv, essiv, essiv_key, err);
    return rc;
}

int imgi_nettle_new(struct imgi_nettle **out, const struct imgi_cipher_params *params,
                    const uint8_t *key, const uint8_t *essiv_key, img_error *err)
{
    /* NODELETE: the functions are used for as long as there are ciphers. */
    void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    struct imgi_nettle *nettle;
    int rc;

    if (!handle)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "cipher '%s' needs %s (Debian: libnettle8), which cannot be loaded",
                         imgi_cipher_alg_name(params->alg), soname);
    nettle = calloc(1, sizeof(*nettle));
    if (!nettle) {
        dlclose(handle);
        return imgi_fail_nomem(err, "encryption");
    }
    nettle->params = *params;
    rc = load(&nettle->library, handle)
             ? set_keys(nettle, handle, key, essiv_key, err)
             : imgi_fail(err, IMG_E_UNSUPPORTED, "%s lacks functions", soname);
    dlclose(handle);
    if (rc < 0)
        imgi_nettle_free(nettle);
    else
        *out = nettle;
    return rc;
}

void imgi_nettle_free(struct imgi_nettle *nettle)
{
    if (!nettle)
        return;
    keyed_free(&nettle->data);
    keyed_free(&nettle->tweak);
    keyed_free(&nettle->essiv);
    free(nettle);
}

/* ---------------------------------------------------------------- sectors */

static void make_vector(const struct imgi_nettle *nettle, uint64_t sector,
                        uint8_t vector[BLOCK_MAX])
{
    memset(vector, 0, BLOCK_MAX);
    if (nettle->params.ivgen == IMGI_IVGEN_PLAIN)
        imgi_put_le32(vector, (uint32_t)sector);
    else
        imgi_put_le64(vector, sector);
    if (nettle->essiv.cipher)
        nettle->essiv.cipher->encrypt(nettle->essiv.encrypt, nettle->essiv.cipher->block_size,
                                      vector, vector);
}

static void run_sector(const struct imgi_nettle *nettle, bool encrypt, uint8_t vector[BLOCK_MAX],
                       uint8_t *sector)
{
    const struct library *library = &nettle->library;
    const struct nettle_cipher *cipher = nettle->data.cipher;
    const void *forth = nettle->data.encrypt, *back = nettle->data.decrypt;
    size_t block = cipher->block_size, length = IMGI_CIPHER_SECTOR;

    switch (nettle->params.mode) {
    case IMGI_MODE_ECB:
        if (encrypt)
            cipher->encrypt(forth, length, sector, sector);
        else
            cipher->decrypt(back, length, sector, sector);
        break;
    case IMGI_MODE_CBC:
        if (encrypt)
            library->cbc_encrypt(forth, cipher->encrypt, block, vector, length, sector, sector);
        else
            library->cbc_decrypt(back, cipher->decrypt, block, vector, length, sector, sector);
        break;
    case IMGI_MODE_CTR:
        library->ctr_crypt(forth, cipher->encrypt, block, vector, length, sector, sector);
        break;
    case IMGI_MODE_XTS:
        if (encrypt)
            library->xts_encrypt(forth, nettle->tweak.encrypt, cipher->encrypt, vector, length,
                                 sector, sector);
        else
            library->xts_decrypt(back, nettle->tweak.encrypt, cipher->decrypt, cipher->encrypt,
                                 vector, length, sector, sector);
        break;
    }
}

void imgi_nettle_run(const struct imgi_nettle *nettle, bool encrypt, uint64_t sector,
                     uint8_t *buffer, size_t count)
{
    uint8_t vector[BLOCK_MAX];

    for (size_t i = 0; i < count; i++) {
        make_vector(nettle, sector + i, vector);
        run_sector(nettle, encrypt, vector, buffer + i * IMGI_CIPHER_SECTOR);
    }
}

#else /* HAVE_NETTLE */

int imgi_nettle_new(struct imgi_nettle **nettle, const struct imgi_cipher_params *params,
                    const uint8_t *key, const uint8_t *essiv_key, img_error *err)
{
    (void)key;
    (void)essiv_key;
    *nettle = NULL;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "cipher '%s' needs libnettle, which this build is without",
                     imgi_cipher_alg_name(params->alg));
}

void imgi_nettle_free(struct imgi_nettle *nettle)
{
    (void)nettle;
}

void imgi_nettle_run(const struct imgi_nettle *nettle, bool encrypt, uint64_t sector,
                     uint8_t *buffer, size_t count)
{
    (void)nettle;
    (void)encrypt;
    (void)sector;
    (void)buffer;
    (void)count;
}

#endif /* HAVE_NETTLE */
