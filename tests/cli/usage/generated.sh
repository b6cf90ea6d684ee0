# Manuals and completions come from the same tables.
winnow --man >man && head -n 3 man
winnow --man pool
echo "exit $?"
winnow --man pool build >man && head -n 3 man
for shell in bash zsh fish; do winnow --completion $shell >c && head -n 1 c; done
fails winnow --completion tcsh
