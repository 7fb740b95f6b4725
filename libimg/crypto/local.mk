# SPDX-License-Identifier: BSD-2-Clause
# Encryption, digests, secrets. libcrypto and libnettle are not linked but loaded when they are
# needed: see openssl.h.
libimgall_la_SOURCES += \
	libimg/crypto/cipher.c \
	libimg/crypto/cipher.h \
	libimg/crypto/cipher_names.c \
	libimg/crypto/digest.c \
	libimg/crypto/digest.h \
	libimg/crypto/luks.h \
	libimg/crypto/luks_amend.c \
	libimg/crypto/luks_create.c \
	libimg/crypto/luks_header.c \
	libimg/crypto/luks_internal.h \
	libimg/crypto/luks_slot.c \
	libimg/crypto/luks_split.c \
	libimg/crypto/nettle.c \
	libimg/crypto/nettle.h \
	libimg/crypto/openssl.c \
	libimg/crypto/openssl.h \
	libimg/crypto/pbkdf2.c \
	libimg/crypto/random.c \
	libimg/crypto/random.h \
	libimg/crypto/secret.c \
	libimg/crypto/secret.h
