"""`fairseq-train`: what cannot work is refused before the first update, what fails is one line."""
