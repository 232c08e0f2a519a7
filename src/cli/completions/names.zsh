# Names that only the gate knows, as it says them this moment.
_poolgate() {
    local -a names
    if [[ ${words[CURRENT]} != -* ]]; then
        names=(${(f)"$(command poolgate complete-names -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
        (( $#names )) && compadd -a names && return
    fi
    _poolgate_words "$@"
}
