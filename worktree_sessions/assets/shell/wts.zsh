#compdef wts
# Completion of wts for zsh, as `wts completion zsh` prints it: to be evaluated after compinit, or saved as _wts in a
# directory of $fpath. What can be typed comes from the table, one "place <tab> word <tab> help" a line; the sessions
# come from the records of the repository.
_wts_table=@TABLE@
_wts_sessions=@SESSIONS@

_wts() {
    local word place=wts option= directory=. current=${words[CURRENT]}
    local -i i
    for ((i = 2; i < CURRENT; i++)); do
        word=${(Q)words[i]}
        if [[ -n $option ]]; then
            if [[ $option == -C ]]; then directory=${word/#\~/$HOME}; fi
            option=
        elif _wts_knows "$place $word"; then
            if [[ $word == -* ]]; then option=$word; else place+=" $word"; fi
        fi
    done
    if [[ $current == --*=* ]] && _wts_knows "$place ${current%%=*}"; then
        option=${current%%=*}
        compset -P '*='
    fi
    _wts_offer "$place${option:+ $option}"
}

_wts_knows() {
    [[ $_wts_table == *$'\n'"$1"$'\t'* ]]
}

_wts_offer() {
    local row place word help
    local -a options others numbers
    for row in "${(@f)_wts_table}"; do
        IFS=$'\t' read -r place word help <<<"$row"
        [[ $place == "$1" ]] || continue
        case $word in
        @session | @closed) _wts_offer_sessions ${${word#@}/session/sessions} ;;
        @directory) _files -/ ;;
        @file) _files ;;
        @*) ;;
        -*) options+=("${word//:/\\:}:$help") ;;
        *) others+=("${word//:/\\:}:$help") ;;
        esac
    done
    (($#numbers)) && _describe -V -t numbers 'session' numbers
    (($#others)) && _describe -V -t values 'value' others
    (($#options)) && [[ $words[CURRENT] == -* || -z $others$numbers ]] && _describe -t options 'option' options
    return 0
}

_wts_offer_sessions() {
    local number name
    sh -c "$_wts_sessions" wts "$1" "$directory" 2>/dev/null | while read -r number name; do
        numbers+=("${number//:/\\:}${name:+:$name}")
        [[ -n $name ]] && others+=("${name//:/\\:}:session $number")
    done
}

if [[ ${zsh_eval_context[-1]-} == loadautofunc ]]; then
    _wts "$@"
elif (($+functions[compdef])); then
    compdef _wts wts
fi
