# Manuals and completions come from the same tables.
winnow --man | head -n 3
winnow --man 'pool' 2>/dev/null; echo "exit $?"
winnow --man pool build | head -n 3
winnow --completion bash | head -n 1
winnow --completion zsh | head -n 1
winnow --completion fish | head -n 1
fails winnow --completion tcsh
