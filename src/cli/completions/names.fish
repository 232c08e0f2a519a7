# Names that only the gate knows, as it says them this moment; before `=` stands the option whose value they are.
function __poolgate_names
    set -l words (commandline -opc)[2..-1]
    set -l word (commandline -ct)
    if string match -q -- '--*=*' $word
        set -a words (string replace -r '=.*' '' -- $word)
    end
    command poolgate complete-names -- $words 2>/dev/null
end
complete -c poolgate -f
complete -c poolgate -n "not string match -q -- '-*' (commandline -ct)" -a "(__poolgate_names)"
