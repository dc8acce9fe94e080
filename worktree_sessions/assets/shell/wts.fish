# Completion of wts for fish, as `wts completion fish` prints it. What can be typed comes from the table below, one
# "place <tab> word <tab> help" a line; the sessions come from the records of the repository.
set -g _wts_table @TABLE@
set -g _wts_sessions @SESSIONS@

function _wts_complete
    set -l rows (string split \n -- $_wts_table)
    set -l places (string split -f 1 \t -- $rows)
    set -l place wts
    set -l option
    set -l directory .
    for word in (commandline -opc)[2..-1]
        if set -q option[1]
            if test "$option" = -C
                set directory (string replace -r '^~' $HOME -- $word)
            end
            set option
        else if contains -- "$place $word" $places
            if string match -q -- '-*' $word
                set option $word
            else
                set place "$place $word"
            end
        end
    end
    set -l current (commandline -ct)
    set -l before ''
    if set -l parts (string match -r -- '^(--[^=]+)=(.*)$' $current); and contains -- "$place $parts[2]" $places
        set option $parts[2]
        set before "$option="
        set current $parts[3]
    end
    set -q option[1]; and set place "$place $option"
    for row in $rows
        set -l cells (string split \t -- $row)
        test "$cells[1]" = "$place"; or continue
        switch $cells[2]
            case @session
                sh -c $_wts_sessions wts sessions $directory 2>/dev/null | while read -l number name
                    printf '%s\t%s\n' $name "session $number" $number $name
                end
            case @closed
                sh -c $_wts_sessions wts closed $directory 2>/dev/null
            case @directory
                __fish_complete_directories $current
            case @file
                __fish_complete_path $current
            case '@*' # a value that nobody can guess
            case '*'
                printf '%s\t%s\n' $before$cells[2] $cells[3]
        end
    end
end

complete -c wts -f -a '(_wts_complete)'
