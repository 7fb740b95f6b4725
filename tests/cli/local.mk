# SPDX-License-Identifier: BSD-2-Clause
cli_tests += tests/cli/cmd-completion.sh
cli_tests += tests/cli/cmd-errors.sh
cli_tests += tests/cli/cmd-help.sh
cli_tests += tests/cli/cmd-info.sh
cli_tests += tests/cli/cmd-interrupt.sh
cli_tests += tests/cli/cmd-manpage.sh
cli_tests += tests/cli/cmd-progress.sh
