# Completion of img(1) for bash, and of qemu-img where that is a link to img.
# SPDX-License-Identifier: BSD-2-Clause
#
# The commands and options come from the program itself ("img help --commands",
# "img help --options COMMAND"), so they are always those of the one that is called.

# _img_words WORD...: offer those that begin with what has been typed.
_img_words()
{
    local IFS=$' \t\n'
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$*" -- "$current")) || :
}

_img_files()
{
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -f -- "$current")) || :
}

# _img_create_options LETTER: the create options of the format that the command
# line names behind the option of that letter.
_img_create_options()
{
    local format=

    _img_target_format "$1"
    compopt -o nospace 2>/dev/null
    _img_words help "$("$program" "$command" ${format:+"$1" "$format"} -o help 2>/dev/null |
        sed -n 's/^  \([a-z_0-9.-]*\)=<.*/\1=/p')"
}

# _img_target_format OPTION: set $format to what stands behind it on the command line.
_img_target_format()
{
    local n

    for ((n = 2; n < COMP_CWORD; n++)); do
        case ${COMP_WORDS[n]} in
        "$1") format=${COMP_WORDS[n + 1]} ;;
        "$1"?*) format=${COMP_WORDS[n]#"$1"} ;;
        esac
    done
}

# _img_choices OPTION: what the format's help says that this create option can be.
_img_choices()
{
    local format=

    if [ "$command" = create ]; then
        _img_target_format -f
        _img_words "$(_img_choices_of "$1" -f)"
    else
        _img_target_format -O
        _img_words "$(_img_choices_of "$1" -O)"
    fi
}

# The help says "{a (default) | b}" or "either 'a' or 'b'".
_img_choices_of()
{
    "$program" "$command" ${format:+"$2" "$format"} -o help 2>/dev/null |
        sed -n "/^  $1=/{s/.*{\\(.*\\)}.*/\\1/;s/.*either '\\([a-z]*\\)' or '\\([a-z]*\\)'.*/\\1 \\2/;s/(default)//;s/|//g;p;}"
}

# The argument of the option $previous, if it takes one; false if it takes none.
_img_value()
{
    case $previous in
    -O | --target-format | --output-format)
        _img_words "$("$program" info --formats 2>/dev/null)" ova
        ;;
    -f | -F | --format | --*-format)
        _img_words "$("$program" info --formats 2>/dev/null)"
        ;;
    -c | --cmd)
        [ "$command" = io ] || return 1
        _img_words "$("$program" io -c help 2>/dev/null | sed -n 's/^\([a-z_]*\) .*-- .*/\1/p')"
        ;;
    -d | --discard)
        [ "$command" = io ] || return 1
        _img_words ignore unmap
        ;;
    -o | --options | --target-format-options)
        if [ "$command" = create ]; then
            _img_create_options -f
        else
            _img_create_options -O
        fi
        ;;
    -t | -T | --cache | --*-cache) _img_words none writeback writethrough directsync unsafe ;;
    --output) _img_words human json ;;
    --progress) _img_words auto bar plain json ;;
    -i | --aio)
        [ "$command" = bench ] || return 1
        _img_words threads native io_uring
        ;;
    subformat) _img_choices subformat ;;
    --preallocation) _img_words off metadata falloc full ;;
    -r | --repair)
        [ "$command" = check ] || return 0
        _img_words leaks all
        ;;
    -b | -B | --backing | --base) _img_files ;;
    -m | -S | --disk | --*-disk | --parallel | --threads | --rate-limit | --*size | --start-offset | --max-length) ;;
    -s | -l)
        [ "$command" = map ] || [ "$command" = measure ] || return 1
        ;;
    *) return 1 ;;
    esac
}

_img()
{
    local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]}

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _img_words "$("$program" help --commands 2>/dev/null)" help --help --version
        return
    fi
    if [ "$command" = help ]; then
        _img_words "$("$program" help --commands 2>/dev/null)"
        return
    fi
    # bash cuts --name=value into three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if _img_value; then
        return
    fi
    if [[ $current == -* ]]; then
        if [ "$command" = mount ]; then # its options are those of imgmount
            _img_words "$("$program" mount --list-options 2>/dev/null)" --help
        else
            _img_words "$("$program" help --options "$command" 2>/dev/null)"
        fi
        [[ ${COMPREPLY[*]-} != *= ]] || compopt -o nospace 2>/dev/null
        return
    fi
    _img_files
}

complete -F _img img qemu-img
