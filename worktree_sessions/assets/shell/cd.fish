# wts cd TARGET goes to a session's worktree; everything else is the program itself, with its exit status.
function wts
    if test "$argv[1]" != cd
        command wts $argv
        return
    end
    if contains -- -h $argv; or contains -- --help $argv; or contains -- --json $argv
        command wts path $argv[2..-1]
        return
    end
    command wts path $argv[2..-1] | read -lz answer # all of it: a path may hold newlines, and end with one
    set -l status_of_wts $pipestatus[1]
    test $status_of_wts -eq 0; or return $status_of_wts
    string match -rq '(?s)^(?<place>.*)\n\z' -- $answer
    cd -- $place
end

