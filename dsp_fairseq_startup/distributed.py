"""Training in several processes: restarting, and errors of use.

Where: `fairseq.distributed.utils`. `broadcast_object` sends the checkpoint that rank 0 has read to the other
ranks, which unpack it with `torch.load` (each tensor is sent apart, with a placeholder in its stead);
`distributed_main` is what each spawned process runs.
When: torch >= 2.6, for the same reason as in `safe_load`.
"""

import functools

from . import console, safe_load


def mend(distributed_utils):
    load = functools.partial(safe_load.load, also_allowed=[distributed_utils._TensorPlaceholder])
    distributed_utils.torch = safe_load.TorchWithLoad(distributed_utils.torch, load)
    distributed_utils.distributed_main = console.with_one_line_errors(distributed_utils.distributed_main)
