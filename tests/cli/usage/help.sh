winnow help
winnow -h >h && winnow help | cmp - h
winnow pool -h
