fails winnow embed
fails winnow embed --model
fails winnow embed --model=
fails winnow embed --model m --pool p
fails winnow embed --model m --pool p --out -
fails winnow embed --model m --pool p --out o extra
fails winnow pool build --out o
fails winnow explain one --json
fails winnow doctor --json=yes
