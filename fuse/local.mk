# SPDX-License-Identifier: BSD-2-Clause
if HAVE_FUSE
bin_PROGRAMS += fuse/imgmount
dist_man_MANS += fuse/imgmount.1
endif
fuse_imgmount_SOURCES = \
	fuse/imgmount.h \
	fuse/view.h \
	fuse/main.c \
	fuse/options.c \
	fuse/mount_options.c \
	fuse/log.c \
	fuse/images.c \
	fuse/blocks.c \
	fuse/blocks.h \
	fuse/blocks_groups.c \
	fuse/blocks_tree.c \
	fuse/daemon.c \
	fuse/directories.c \
	fuse/files.c \
	fuse/files.h \
	fuse/contents.c \
	fuse/mounts.c \
	fuse/nodes.c
fuse_imgmount_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS)
fuse_imgmount_LDADD = libimgall.la $(FUSE_LIBS)
