# Names that only the gate knows, as it says them this moment; none is looked at by the shell.
_poolgate_with_names() {
    local word=${COMP_WORDS[COMP_CWORD]} name
    _poolgate "$@"
    [[ $word == -* ]] && return
    local -a found=()
    while IFS= read -r name; do
        [[ $name == "$word"* ]] && found+=("$name")
    done < <(command poolgate complete-names -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
    if ((${#found[@]})); then COMPREPLY=("${found[@]}"); fi
}
complete -F _poolgate_with_names -o bashdefault -o default poolgate
