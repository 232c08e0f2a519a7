# Names that only the gate knows, as it says them this moment.
complete -c poolgate -n "not string match -q -- '-*' (commandline -ct)" -f -a "(command poolgate complete-names -- (commandline -opc)[2..-1] 2>/dev/null)"
