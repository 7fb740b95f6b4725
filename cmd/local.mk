# SPDX-License-Identifier: BSD-2-Clause
cmd_img_SOURCES += \
	cmd/cmd.h \
	cmd/main.c \
	cmd/help.c \
	cmd/options.c \
	cmd/errors.c \
	cmd/signals.c \
	cmd/size.c \
	cmd/json.c \
	cmd/key.c \
	cmd/output.c \
	cmd/output_appliance.c \
	cmd/progress.c \
	cmd/open.c \
	cmd/open_snapshot.c \
	cmd/object.c \
	cmd/guest.c \
	cmd/guest.h \
	cmd/guest_paths.c \
	cmd/guest_places.c \
	cmd/guest_show.c \
	cmd/guest_walk.c \
	cmd/create_options.c \
	cmd/amend.c \
	cmd/bench.c \
	cmd/bitmap.c \
	cmd/cat.c \
	cmd/check.c \
	cmd/columns.c \
	cmd/columns.h \
	cmd/commit.c \
	cmd/compact.c \
	cmd/compare.c \
	cmd/convert.c \
	cmd/convert.h \
	cmd/convert_appliance.c \
	cmd/convert_bitmaps.c \
	cmd/convert_images.c \
	cmd/cp.c \
	cmd/cp.h \
	cmd/cp_file.c \
	cmd/cp_in.c \
	cmd/cp_out.c \
	cmd/create.c \
	cmd/dd.c \
	cmd/df.c \
	cmd/diff.c \
	cmd/diff.h \
	cmd/diff_file.c \
	cmd/diff_show.c \
	cmd/filesystems.c \
	cmd/free_space.c \
	cmd/free_space.h \
	cmd/find.c \
	cmd/find.h \
	cmd/find_match.c \
	cmd/find_owner.c \
	cmd/find_tests.c \
	cmd/info.c \
	cmd/inspect.c \
	cmd/io.c \
	cmd/io.h \
	cmd/io_commands.c \
	cmd/io_open.c \
	cmd/io_snapshot.c \
	cmd/io_transfer.c \
	cmd/ls.c \
	cmd/ls.h \
	cmd/ls_show.c \
	cmd/map.c \
	cmd/measure.c \
	cmd/mount.c \
	cmd/rebase.c \
	cmd/resize.c \
	cmd/snapshot.c \
	cmd/sparsify.c \
	cmd/tar.c \
	cmd/tar.h \
	cmd/tar_file.c \
	cmd/tar_file.h \
	cmd/tar_write.c \
	cmd/umount.c
cmd_img_LDADD += $(JANSSON_LIBS)

dist_man_MANS += cmd/img.1

# The completion is looked up by the command's name.
EXTRA_DIST += cmd/img.bash
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(srcdir)/cmd/img.bash' '$(DESTDIR)$(bashcompletiondir)/img'
uninstall-local:
	rm -f '$(DESTDIR)$(bashcompletiondir)/img'
