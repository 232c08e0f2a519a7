# Names that only the gate knows, as it says them this moment; before `=` stands the option whose value they are.
_poolgate_names() {
    local -a names
    names=(${(f)"$(command poolgate complete-names -- "${_poolgate_before[@]}" 2>/dev/null)"})
    compadd "$@" -a names
}
_poolgate() {
    local -a _poolgate_before
    _poolgate_before=("${(@Q)words[2,CURRENT-1]}")
    case ${words[CURRENT]} in
        --*=*) _poolgate_before+=("${words[CURRENT]%%=*}") ;;
        -*) ;;
        *) _poolgate_names && return ;;
    esac
    _poolgate_words "$@"
}
