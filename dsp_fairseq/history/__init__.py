"""``dsp-fairseq report --history``: how the kept units settled over a training.

A folder (:mod:`folder`) holds checkpoints (:mod:`checkpoints`), event files of TensorBoard (:mod:`events`), or both.
Their content is printed as tables or JSON (:mod:`text`) and drawn (:mod:`picture`).
"""
