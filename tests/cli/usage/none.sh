winnow
