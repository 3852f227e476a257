"""``dsp-fairseq report --history``: how the kept heads settled over a training.

What there is in a folder (:mod:`folder`): checkpoints (:mod:`checkpoints`) or TensorBoard's event files
(:mod:`events`), or both; told as tables and JSON (:mod:`text`) and drawn (:mod:`picture`).
"""
