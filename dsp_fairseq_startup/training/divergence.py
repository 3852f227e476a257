"""Ends a training that diverges with one line, not `StopIteration` or `Torch not compiled with CUDA enabled`.

fairseq raises a `FloatingPointError` in `Trainer.train_step`, then searches for the module in which NaN began.
"""

from ..mending import View, around, mend
from ..tracebacks import chain


class Diverged(RuntimeError):
    """A training diverged; the message says when, what fairseq saw, what to change and where the state is saved."""

    exit_code = 1


@around("fairseq.trainer:Trainer.train_step")
def say_what_diverged(train_step, self, *args, **kwargs):
    try:
        return train_step(self, *args, **kwargs)
    except Exception as error:
        seen = next((found for found in chain(error) if isinstance(found, FloatingPointError)), None)
        if seen is None:
            raise
        raise Diverged(message(seen, self)) from error


def message(error, trainer):
    what, *more = str(error).strip().partition("\n")[0].split(". ")
    # "inconsistent" gradients differ between processes, which does not depend on the learning rate
    by_rate = "lower --lr, warm up longer or clip with --clip-norm"
    remedy = ". ".join(more) if "inconsistent" in what else by_rate
    state = f"{trainer.cfg.checkpoint.save_dir}/crash.pt"
    return f"training diverged after {trainer.get_num_updates()} updates: {what}; {remedy} (its state is in {state})"


@mend("fairseq.nan_detector")
def search_forward_only(nan_detector):
    """Without this mend, the search ends in an error, because the encoder returns a dictionary.

    torch >= 1.8 refuses backward hooks of such modules.
    """
    nan_detector.NanDetector.__init__.__defaults__ = (True, False)  # forward: yes, backward: no


@mend("fairseq.trainer")
def skip_updates_without_a_gpu(trainer):
    """Without this mend, a skipped update in half precision fails without a GPU, to which fairseq moves one number."""
    torch = trainer.torch

    def tensor(*args, **kwargs):
        number = torch.tensor(*args, **kwargs)
        number.cuda = lambda: number
        return number

    if not torch.cuda.is_available():
        trainer.torch = View(torch, tensor=tensor)


@mend("fairseq.optim.amp_optimizer")
def scale_without_a_gpu(amp_optimizer):
    """Without this mend, `--amp` fails without a GPU, because its scaler is disabled and has no scale."""
    optimizer = amp_optimizer.AMPOptimizer
    scale = optimizer.next_loss_scale.fget
    optimizer.next_loss_scale = property(lambda self: scale(self) if self.scaler.is_enabled() else 0.0)
