#!/bin/sh
# Put here by `wts hooks install`; `wts hooks uninstall` takes it away and puts back what was here.
# The hook that was here runs first, as <hook>.before-wts, with the same arguments and input; if it fails, so does
# this. What wts adds only warns, and is gone without a trace when its script is.

event=${0##*/}
event=${event%%.*}
before=${0%/*}/$event.before-wts

warn() {
    [ -z "${WTS_QUIET-}" ] || return 0
    script=$(git rev-parse --path-format=absolute --git-common-dir 2>/dev/null)/wts/hooks/wts-hook.sh
    [ ! -f "$script" ] || sh "$script" "$event" "$@"
}

if [ ! -f "$before" ] || [ ! -x "$before" ]; then
    warn "$@"
    exit 0
fi
if [ "$event" != pre-push ]; then
    "$before" "$@" || exit
    warn "$@"
    exit 0
fi
input=$(cat && echo x) # the x keeps the last newline
input=${input%x}
printf '%s' "$input" 2>/dev/null | "$before" "$@" || exit
printf '%s' "$input" 2>/dev/null | warn "$@"
exit 0
