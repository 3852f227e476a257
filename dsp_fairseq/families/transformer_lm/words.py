"""Names of the parts of a Transformer language model and their texts in ``--help``; importing this needs no torch."""

KINDS, FFN_KINDS, LAYER_KINDS = ("decoder.self",), ("decoder.ffn",), ("decoder.layers",)
TASK = "language_modeling_pruning"
CRITERIONS = ("dsp_cross_entropy", "dsp_adaptive_loss")
HELP = {
    "some kinds": KINDS[0],
    "all kinds": "all kinds",
    "K of each kind": f"{KINDS[0]}=24",
    "F of each kind": f"{FFN_KINDS[0]}=1024",
    "group weights": f"{FFN_KINDS[0]}=0.5",
    "E of each stack": "decoder=4",
    "parts": "not with a language model, which is one part; to freeze all weights, say --pruning-mode pipelined",
    "H": "layers x heads",
}
