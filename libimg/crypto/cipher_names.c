/*
 * Names of ciphers and modes, and what goes together. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "../util/checked.h"
#include "cipher.h"

static const struct {
    const char *name, *family;
    size_t key_bytes;
} algs[IMGI_CIPHER_ALGS] = {
    [IMGI_AES_128] = {"aes-128", "aes", 16},
    [IMGI_AES_192] = {"aes-192", "aes", 24},
    [IMGI_AES_256] = {"aes-256", "aes", 32},
    [IMGI_CAST5_128] = {"cast5-128", "cast5", 16},
    [IMGI_SERPENT_128] = {"serpent-128", "serpent", 16},
    [IMGI_SERPENT_192] = {"serpent-192", "serpent", 24},
    [IMGI_SERPENT_256] = {"serpent-256", "serpent", 32},
    [IMGI_TWOFISH_128] = {"twofish-128", "twofish", 16},
    [IMGI_TWOFISH_192] = {"twofish-192", "twofish", 24},
    [IMGI_TWOFISH_256] = {"twofish-256", "twofish", 32},
};

static const char *const modes[] = {
    [IMGI_MODE_ECB] = "ecb",
    [IMGI_MODE_CBC] = "cbc",
    [IMGI_MODE_CTR] = "ctr",
    [IMGI_MODE_XTS] = "xts",
};

static const char *const ivgens[] = {
    [IMGI_IVGEN_PLAIN] = "plain",
    [IMGI_IVGEN_PLAIN64] = "plain64",
    [IMGI_IVGEN_ESSIV] = "essiv",
};

/* The place of name in the list, or count. */
static size_t find(const char *const *list, size_t count, const char *name)
{
    size_t at = 0;

    while (at < count && strcmp(list[at], name) != 0)
        at++;
    return at;
}

bool imgi_cipher_alg_parse(const char *name, enum imgi_cipher_alg *alg)
{
    size_t at = 0;

    while (at < IMGI_COUNT(algs) && strcmp(algs[at].name, name) != 0)
        at++;
    *alg = (enum imgi_cipher_alg)at;
    return at < IMGI_COUNT(algs);
}

bool imgi_cipher_mode_parse(const char *name, enum imgi_cipher_mode *mode)
{
    size_t at = find(modes, IMGI_COUNT(modes), name);

    *mode = (enum imgi_cipher_mode)at;
    return at < IMGI_COUNT(modes);
}

bool imgi_ivgen_parse(const char *name, enum imgi_ivgen *ivgen)
{
    size_t at = find(ivgens, IMGI_COUNT(ivgens), name);

    *ivgen = (enum imgi_ivgen)at;
    return at < IMGI_COUNT(ivgens);
}

const char *imgi_cipher_alg_name(enum imgi_cipher_alg alg)
{
    return algs[alg].name;
}

const char *imgi_cipher_mode_name(enum imgi_cipher_mode mode)
{
    return modes[mode];
}

const char *imgi_ivgen_name(enum imgi_ivgen ivgen)
{
    return ivgens[ivgen];
}

size_t imgi_cipher_key_bytes(const struct imgi_cipher_params *params)
{
    size_t bytes = algs[params->alg].key_bytes;

    return params->mode == IMGI_MODE_XTS ? 2 * bytes : bytes;
}

const char *imgi_cipher_family(enum imgi_cipher_alg alg)
{
    return algs[alg].family;
}

/* Of the family, the one with a key of that many bytes; IMGI_CIPHER_ALGS: there is none. */
static size_t find_size(const char *family, size_t bytes)
{
    size_t at = 0;

    while (at < IMGI_COUNT(algs) &&
           !(strcmp(algs[at].family, family) == 0 && algs[at].key_bytes == bytes))
        at++;
    return at;
}

enum imgi_cipher_alg imgi_cipher_essiv_alg(const struct imgi_cipher_params *params)
{
    return (enum imgi_cipher_alg)find_size(algs[params->alg].family, imgi_hash_bytes(params->hash));
}

static int no_essiv(const struct imgi_cipher_params *params, img_error *err)
{
    static const struct {
        const char *family, *name;
    } known[] = {{"aes", "AES"}, {"serpent", "Serpent"}, {"twofish", "Twofish"}};

    for (size_t i = 0; i < IMGI_COUNT(known); i++) {
        if (strcmp(known[i].family, algs[params->alg].family) == 0)
            return imgi_fail(err, IMG_E_INVAL, "No %s cipher with key size %zu available",
                             known[i].name, imgi_hash_bytes(params->hash));
    }
    return imgi_fail(err, IMG_E_INVAL, "Cipher %s not supported with essiv",
                     algs[params->alg].name);
}

int imgi_cipher_check(const struct imgi_cipher_params *params, img_error *err)
{
    if (params->ivgen == IMGI_IVGEN_ESSIV &&
        find_size(algs[params->alg].family, imgi_hash_bytes(params->hash)) == IMGI_CIPHER_ALGS)
        return no_essiv(params, err);
    if (params->mode == IMGI_MODE_XTS && params->alg == IMGI_CAST5_128)
        return imgi_fail(err, IMG_E_INVAL, "Unsupported cipher mode xts");
    return 0;
}
