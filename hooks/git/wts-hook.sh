#!/bin/sh
# What `wts hooks install` makes git run: it warns on stderr, and never blocks (its exit status is always 0).
#
#     wts-hook.sh pre-push NAME URL     which sessions hold work that this push does not carry
#     wts-hook.sh post-merge SQUASH     which sessions are now behind the branch that moved
#     wts-hook.sh post-commit           the same
#
# It lies in <git common dir>/wts/hooks/ and reads the records beside it, sessions/*/session.json: one key a line,
# indented by one space, keys in order. POSIX sh; no Python, and no other program before there is a session.
# Silent with WTS_QUIET set.

trap 'exit 0' 0

[ -z "${WTS_QUIET-}" ] || exit 0
event=${1-}
argument=${2-}
home=${0%/hooks/*}
common=${home%/wts}
set -- "$home"/sessions/*/session.json
[ -e "$1" ] || [ -e "${2-}" ] || exit 0

LC_ALL=C
GIT_OPTIONAL_LOCKS=0
export LC_ALL GIT_OPTIONAL_LOCKS
newline='
'
jobs_at_once=8

# A JSON string without its quotes, turned into $decoded. Everything becomes escapes of `printf %b`, written at once.
decode() {
    case $1 in
    *\\*) ;;
    *)
        decoded=$1
        return 0
        ;;
    esac
    escaped=
    rest=$1
    while :; do
        case $rest in
        *\\*) ;;
        *) break ;;
        esac
        escaped=$escaped${rest%%\\*}
        rest=${rest#*\\}
        case $rest in
        [bfnrt]*)
            one=${rest%"${rest#?}"}
            escaped="$escaped\\$one"
            rest=${rest#?}
            ;;
        \\*)
            escaped="$escaped\\\\"
            rest=${rest#?}
            ;;
        u????*) decode_unit ;;
        *) ;; # a quote or a slash stands for itself, and comes with the rest
        esac
    done
    decoded=$(printf '%bx' "$escaped$rest")
    decoded=${decoded%x}
}

# \uXXXX at the front of $rest: a code point, half of one, or (lone, DC80 to DCFF) a byte that was no UTF-8.
decode_unit() {
    unit
    if [ "$code" -ge 55296 ] && [ "$code" -le 56319 ]; then
        high=$code
        case $rest in
        \\u????*)
            rest=${rest#\\}
            unit
            code=$((65536 + (high - 55296) * 1024 + code - 56320))
            ;;
        esac
    fi
    if [ "$code" -lt 128 ]; then
        byte "$code"
    elif [ "$code" -lt 2048 ]; then
        byte $((192 | code >> 6))
        byte $((128 | code & 63))
    elif [ "$code" -ge 56448 ] && [ "$code" -le 56575 ]; then
        byte $((code - 56320))
    elif [ "$code" -lt 65536 ]; then
        byte $((224 | code >> 12))
        byte $((128 | code >> 6 & 63))
        byte $((128 | code & 63))
    else
        byte $((240 | code >> 18))
        byte $((128 | code >> 12 & 63))
        byte $((128 | code >> 6 & 63))
        byte $((128 | code & 63))
    fi
}

unit() {
    tail=${rest#u????}
    digits=${rest%"$tail"}
    digits=${digits#u}
    rest=$tail
    case $digits in
    *[!0-9A-Fa-f]*) code=63 ;;
    *) code=$((0x$digits)) ;;
    esac
}

byte() {
    escaped="$escaped\\0$(($1 >> 6 & 7))$(($1 >> 3 & 7))$(($1 & 7))"
}

# Text from a record is data: control characters are taken out before it is printed.
printable() {
    case $1 in
    *[[:cntrl:]]*) shown=$(printf '%s' "$1" | tr -d '\000-\037\177') ;;
    *) shown=$1 ;;
    esac
}

# Call $1 in the background for every record, with number name branch parent worktree set, some at a time.
for_each_session() {
    running=0
    IFS=$newline
    set -f
    for line in $records; do
        value=${line#*: }
        value=${value%,}
        value=${value#\"}
        value=${value%\"}
        case $line in
        ' "branch": '*)
            branch=$value
            name=
            number=
            parent=
            ;;
        ' "name": '*) name=$value ;;
        ' "number": '*) number=$value ;;
        ' "parent": '*) parent=$value ;;
        ' "worktree": '*)
            case $number in
            '' | *[!0-9]*) continue ;;
            esac
            case /$name/$branch/$parent/ in
            *//*) continue ;;
            esac
            decode "$name"
            name=$decoded
            decode "$branch"
            branch=$decoded
            decode "$parent"
            parent=$decoded
            decode "$value"
            worktree=$decoded
            "$1"
            branch=
            number=
            ;;
        esac
    done
    wait
}

in_background() {
    "$@" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs_at_once" ]; then
        wait
        running=0
    fi
}

# A command that takes a branch, only where a shell would read the branch as one plain word.
is_plain() {
    case $1 in
    *[!A-Za-z0-9._/@+-]* | -*) return 1 ;;
    esac
}

look_for_unsaved() {
    in_background tell_unsaved
}

tell_unsaved() {
    told=
    cure="wts open $number"
    count_files
    count_commits
    [ -n "$told" ] || return 0
    printable "$name"
    printf '  %s %s: %s (%s)\n' "$number" "$shown" "$told" "$cure"
}

count_files() {
    if ! [ -e "$worktree/.git" ] || ! status=$(git -C "$worktree" status --porcelain=v1 --untracked-files=all \
        --ignore-submodules=none --no-renames 2>/dev/null); then
        told="its worktree can't be read"
        cure="wts doctor"
        return 0
    fi
    changed=0
    untracked=0
    for row in $status; do
        case $row in
        '??'*) untracked=$((untracked + 1)) ;;
        *) changed=$((changed + 1)) ;;
        esac
    done
    [ "$changed" -eq 0 ] || told="$changed changed"
    [ "$untracked" -eq 0 ] || told="${told:+$told, }$untracked untracked"
}

count_commits() {
    # --stdin comes before --not: what is read there carries its own ^
    unpushed=$(printf '%s' "$pushed" |
        git --git-dir="$common" rev-list --count --stdin "refs/heads/$branch" --not --remotes -- 2>/dev/null)
    case $unpushed in
    '' | 0) return 0 ;;
    1) words='1 commit on no remote' ;;
    *) words="$unpushed commits on no remote" ;;
    esac
    if [ -z "$told" ] && is_plain "$branch" && is_plain "$remote"; then
        cure="git push $remote $branch"
    fi
    told="${told:+$told, }$words"
}

look_for_behind() {
    [ "refs/heads/$parent" != "$here" ] || in_background tell_behind
}

tell_behind() {
    behind=$(git --git-dir="$common" rev-list --count "refs/heads/$branch..$here" -- 2>/dev/null)
    case $behind in
    '' | 0) return 0 ;;
    esac
    printable "$name"
    printf '  %s %s: %s behind (wts sync %s)\n' "$number" "$shown" "$behind" "$number"
}

read_records() {
    records=$(sed -n -e '/^ "branch": "/p' -e '/^ "name": "/p' -e '/^ "number": [0-9]/p' -e '/^ "parent": "/p' \
        -e '/^ "worktree": "/p' "$@" 2>/dev/null)
}

# git tells a hook where it is by variables; in another worktree they would name the wrong index.
forget_where_we_are() {
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_PREFIX GIT_OBJECT_DIRECTORY GIT_NAMESPACE \
        GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_QUARANTINE_PATH GIT_SHALLOW_FILE GIT_GRAFT_FILE GIT_CONFIG \
        GIT_IMPLICIT_WORK_TREE GIT_INTERNAL_SUPER_PREFIX GIT_REPLACE_REF_BASE GIT_NO_REPLACE_OBJECTS
}

say() {
    [ -n "$report" ] || return 0
    c1=$(printf '\302[\200-\237]') # the controls U+0080 to U+009F drive a terminal as ESC does
    {
        printf 'wts: %s\n' "$1"
        printf '%s\n' "$report" | sort -n
    } | sed "s/$c1//g" >&2
}

case $event in
pre-push)
    pushed=
    [ -t 0 ] || while read -r _ oid _; do
        case $oid in
        *[!0]*) pushed="$pushed^$oid$newline" ;;
        esac
    done
    # a URL may hold a password: only a remote's name is ever printed
    case $argument in
    '' | *[!A-Za-z0-9._-]*) remote=' ' ;;
    *) remote=$argument ;;
    esac
    forget_where_we_are
    read_records "$@"
    report=$(for_each_session look_for_unsaved)
    say 'work in sessions that this push does not carry'
    ;;
post-merge | post-commit)
    [ "$event $argument" != 'post-merge 1' ] || exit 0 # a squash has moved nothing yet
    here=$(git symbolic-ref -q HEAD 2>/dev/null) || exit 0
    forget_where_we_are
    read_records "$@"
    if is_plain "${here#refs/heads/}"; then # a plain branch stands in a record as it is
        case $records in
        *\"parent\":\ \""${here#refs/heads/}"\"*) ;;
        *) exit 0 ;;
        esac
    fi
    report=$(for_each_session look_for_behind)
    printable "${here#refs/heads/}"
    say "sessions that are now behind $shown"
    ;;
esac
