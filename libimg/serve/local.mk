# SPDX-License-Identifier: BSD-2-Clause
# An image for other processes.
libimgall_la_SOURCES += \
	libimg/serve/handshake.c \
	libimg/serve/nbd.h \
	libimg/serve/serve.h \
	libimg/serve/server.c \
	libimg/serve/socket.c \
	libimg/serve/status.c \
	libimg/serve/transmit.c
