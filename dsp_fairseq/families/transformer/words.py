"""Names of the parts of a Transformer and their texts in ``--help``; importing this does not import torch."""

TASK, CRITERION = "translation_pruning", "dsp_label_smoothed_cross_entropy"
STACKS = ("encoder", "decoder")
KINDS = ("encoder.self", "decoder.self", "decoder.cross")  # kinds of attention block, in flat order
FFN_KINDS = ("encoder.ffn", "decoder.ffn")  # kinds of feed-forward block, in flat order
LAYER_KINDS = ("encoder.layers", "decoder.layers")  # kinds of stacks of layers, in flat order
HELP = {
    "some kinds": f"{KINDS[0]},{KINDS[2]}",
    "all kinds": "all kinds",
    "K of each kind": ",".join(f"{kind}={heads}" for kind, heads in zip(KINDS, (8, 6, 10), strict=True)),
    "F of each kind": ",".join(f"{kind}={units}" for kind, units in zip(FFN_KINDS, (1024, 512), strict=True)),
    "group weights": ",".join(f"{stack}.ffn=0.5" for stack in STACKS),
    "E of each stack": ",".join(f"{stack}={layers}" for stack, layers in zip(STACKS, (6, 2), strict=True)),
    "parts": f"{' or '.join(STACKS)} (L0 pruning of the encoder freezes the decoder); shared embeddings belong to both",
    "H": "encoder layers x encoder heads + 2 x decoder layers x decoder heads",
}
