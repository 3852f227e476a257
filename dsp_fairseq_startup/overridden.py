"""What `--model-overrides` changes is forgotten, so no model can say that it decodes otherwise than it was trained

Where: `checkpoint_utils.load_checkpoint_to_cpu`, which overwrites the options of the checkpoint, for commands and for
the hub interface. When: always. The options of the model get one more, `overridden`: those that changed, as they
were.
"""

import functools


def mend(checkpoint_utils):
    original = checkpoint_utils.overwrite_args_by_name

    @functools.wraps(original)
    def overwrite_args_by_name(cfg, overrides):
        from omegaconf import open_dict

        options = cfg.get("model")
        before = {name: getattr(options, name, None) for name in overrides}
        original(cfg, overrides)
        if options is not None:
            with open_dict(cfg):
                options.overridden = before  # even if there is nothing in it: a file does not say

    checkpoint_utils.overwrite_args_by_name = overwrite_args_by_name
