# Names that only the gate knows, as it says them this moment; none is looked at by the shell, which takes `=` for a word.
_poolgate_with_names() {
    local word=${COMP_WORDS[COMP_CWORD]} name
    _poolgate "$@"
    [[ $word == -* ]] && return
    [[ $word == = ]] && word=
    local -a before=() found=()
    for name in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $name == = ]] || before+=("$name")
    done
    while IFS= read -r name; do
        [[ $name == "$word"* ]] && found+=("$name")
    done < <(command poolgate complete-names -- "${before[@]}" 2>/dev/null)
    if ((${#found[@]})); then COMPREPLY=("${found[@]}"); fi
}
complete -F _poolgate_with_names -o bashdefault -o default poolgate
