# Completion of wts for bash 3.2 and newer, as `wts completion bash` prints it. What can be typed comes from the table
# below, one "place <tab> word <tab> help" a line; the sessions come from the records of the repository.
_wts_table=@TABLE@
_wts_sessions=@SESSIONS@

_wts() {
    local word current before place=wts option= directory=. i _wts_words
    COMPREPLY=()
    _wts_glue
    for ((i = 1; i < ${#_wts_words[@]} - 1; i++)); do
        word=${_wts_words[i]}
        if [[ -n $option ]]; then
            if [[ $option == -C ]]; then directory=$word; fi
            option=
        elif _wts_knows "$place $word"; then
            if [[ $word == -* ]]; then option=$word; else place="$place $word"; fi
        fi
    done
    _wts_offer "$place${option:+ $option}"
    return 0
}

# bash cuts words at = and @ too: put them together again in _wts_words, and note in $before what it will not replace.
_wts_glue() {
    local i word last=0 glue= typed=${COMP_WORDS[COMP_CWORD]}
    _wts_words=(wts)
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]//[\"\'\\]/}
        if [[ $word == = && ${_wts_words[last]} == --* ]]; then
            _wts_words[++last]= glue=1
        elif [[ $word == [=@] ]]; then
            _wts_words[last]+=$word glue=1
        elif [[ -n $glue ]]; then
            _wts_words[last]+=$word glue=
        else
            _wts_words[++last]=${word/#\~/$HOME}
        fi
    done
    current=${_wts_words[last]}
    if [[ $typed == [=@] ]]; then typed=; fi
    before=${current%"$typed"}
}

_wts_knows() {
    [[ $_wts_table == *$'\n'"$1"$'\t'* ]]
}

_wts_offer() {
    local place word rest options=()
    while IFS=$'\t' read -r place word rest; do
        if [[ $place != "$1" ]]; then continue; fi
        case $word in
        @session) _wts_offer_sessions sessions ;;
        @closed) _wts_offer_sessions closed ;;
        @directory) _wts_offer_paths -d ;;
        @file) _wts_offer_paths -f ;;
        @*) ;;
        -*) options+=("$word") ;;
        *) _wts_add_reply "$word" ;;
        esac
    done <<<"$_wts_table"
    if [[ $current == -* || (-z $current && ${#COMPREPLY[@]} -eq 0) ]]; then
        for word in ${options[@]+"${options[@]}"}; do _wts_add_reply "$word"; done
    fi
}

_wts_offer_sessions() {
    local number name
    while read -r number name; do
        _wts_add_reply "$number"
        if [[ -n $name ]]; then _wts_add_reply "$name"; fi
    done < <(sh -c "$_wts_sessions" wts "$1" "$directory" 2>/dev/null)
}

_wts_offer_paths() {
    local path
    compopt -o filenames 2>/dev/null || :
    while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$current")
}

_wts_add_reply() {
    if [[ $1 == "$current"* ]]; then COMPREPLY+=("${1#"$before"}"); fi
}

complete -F _wts wts
