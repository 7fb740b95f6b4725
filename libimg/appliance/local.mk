# SPDX-License-Identifier: BSD-2-Clause
# OVA and OVF: what lies in them, and making them.
libimgall_la_SOURCES += \
	libimg/appliance/appliance.c \
	libimg/appliance/appliance.h \
	libimg/appliance/create.c \
	libimg/appliance/create.h \
	libimg/appliance/find.c \
	libimg/appliance/follow.c \
	libimg/appliance/follow.h \
	libimg/appliance/info.c \
	libimg/appliance/manifest.c \
	libimg/appliance/manifest.h \
	libimg/appliance/open.c \
	libimg/appliance/options.c \
	libimg/appliance/ovf.c \
	libimg/appliance/ovf.h \
	libimg/appliance/ovf_write.c \
	libimg/appliance/tar.c \
	libimg/appliance/tar.h \
	libimg/appliance/tar_read.c \
	libimg/appliance/verify.c
