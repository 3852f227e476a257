"""``dsp-fairseq report``: the heads and parameters of a checkpoint as text, JSON or a picture."""
