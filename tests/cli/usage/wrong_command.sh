fails winnow embd
fails winnow zzzzzz
fails winnow pool
fails winnow pool bild
fails winnow help nosuch
fails winnow --nosuch
fails winnow --version --yaml
