/*
 * The names of ciphers, modes and IV generators. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "../util/checked.h"
#include "cipher.h"

static const char *const algs[] = {
    [IMGI_AES_128] = "aes-128",
    [IMGI_AES_192] = "aes-192",
    [IMGI_AES_256] = "aes-256",
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
    size_t at = find(algs, IMGI_COUNT(algs), name);

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
    return algs[alg];
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
    static const size_t bytes[] = {[IMGI_AES_128] = 16, [IMGI_AES_192] = 24, [IMGI_AES_256] = 32};

    return params->mode == IMGI_MODE_XTS ? 2 * bytes[params->alg] : bytes[params->alg];
}
