# Completion of containerd-shim-wasmedge-v1 and wasmedge-engine for bash.

_containerd_shim_wasmedge() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words=
    if [[ ${COMP_WORDS[0]##*/} = wasmedge-engine ]]; then
        command=engine
        [[ $COMP_CWORD != 1 ]] || words="run compile cache --version --help"
        [[ ${COMP_WORDS[1]} != cache || $COMP_CWORD != 2 ]] || words="list verify prune warm"
    elif [[ $COMP_CWORD = 1 ]]; then
        words="install uninstall check engine -v"
    elif [[ $command = engine && $COMP_CWORD = 2 ]]; then
        words="run compile cache --directory --version --help"
    fi
    case $before in
    --runtime) words="containerd docker k3s rke2 k0s microk8s" ;;
    --config | --root | --prefix | --options | --directory) words= && compopt -o default 2>/dev/null ;;
    *)
        case $command in
        install) words="--runtime --config --root --prefix --containerd-version --options --dry-run --restart --help" ;;
        uninstall) words="--runtime --config --root --dry-run --restart --force --purge --help" ;;
        check) words="--runtime --config --root --json --help" ;;
        engine) [[ -n $words ]] || compopt -o default 2>/dev/null ;;
        esac
        [[ $COMP_CWORD != 1 || $command = engine ]] || words="install uninstall check engine -v"
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _containerd_shim_wasmedge containerd-shim-wasmedge-v1 wasmedge-engine
