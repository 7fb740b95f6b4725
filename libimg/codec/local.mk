# SPDX-License-Identifier: BSD-2-Clause
# Compression: buffer to buffer. isal.c and libdeflate.c are empty where the library is not there.
libimgall_la_SOURCES += \
	libimg/codec/adc.c \
	libimg/codec/backend.h \
	libimg/codec/codec.c \
	libimg/codec/codec.h \
	libimg/codec/deflate.c \
	libimg/codec/isal.c \
	libimg/codec/libdeflate.c \
	libimg/codec/loaded.c \
	libimg/codec/zlib.c \
	libimg/codec/zstd.c
