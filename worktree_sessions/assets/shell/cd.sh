# wts cd TARGET goes to a session's worktree; everything else is the program itself, with its exit status.
wts() {
    if [ "${1-}" != cd ]; then
        command wts "$@"
        return
    fi
    shift
    case " $* " in
    *" -h "* | *" --help "* | *" --json "*)
        command wts path "$@"
        return
        ;;
    esac
    local place
    place=$(command wts path "$@" && echo x) || return # the x keeps a newline at the end of the path
    place=${place%x}
    builtin cd -- "${place%?}"
}

