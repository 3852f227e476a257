"""`StopIteration` (or worse: on a CPU, `Torch not compiled with CUDA enabled`) when a training diverges

Where: `Trainer.train_step`. fairseq raises a `FloatingPointError`, then looks for the module in which it began, by
hooks that torch refuses for modules like the encoder, whose output is a dictionary; in half precision a skipped
update allocates a number on a GPU, be there one or not; the scaler of `--amp` has no scale without a GPU.
When: torch >= 1.8; the last two without a GPU, always.
"""

import functools


class Diverged(RuntimeError):
    """One line: when, what fairseq saw, what to change, where the state is."""

    exit_code = 1


def mend(module):
    {"Trainer": _trainer, "NanDetector": _detector, "AMPOptimizer": _amp}[_main_class(module)](module)


def _main_class(module):
    return next(name for name in ("Trainer", "AMPOptimizer", "NanDetector") if hasattr(module, name))


def _trainer(module):
    module.Trainer.train_step = in_one_line(module.Trainer.train_step)
    if not module.torch.cuda.is_available():
        module.torch = _TorchWithoutCuda(module.torch)


def _detector(module):
    module.NanDetector.__init__.__defaults__ = (True, False)  # forward: yes, backward: no


def _amp(module):
    scale = module.AMPOptimizer.next_loss_scale.fget
    module.AMPOptimizer.next_loss_scale = property(lambda self: scale(self) if self.scaler.is_enabled() else 0.0)


def in_one_line(train_step):
    @functools.wraps(train_step)
    def wrapper(self, *args, **kwargs):
        try:
            return train_step(self, *args, **kwargs)
        except Exception as error:
            seen = _floating_point_error(error)
            if seen is None:
                raise
            raise Diverged(_words(seen, self)) from error

    return wrapper


def _floating_point_error(error):
    while error is not None and not isinstance(error, FloatingPointError):
        error = error.__context__
    return error


def _words(error, trainer):
    what, *more = str(error).strip().partition("\n")[0].split(". ")
    # a difference between processes is no matter of the learning rate
    by_rate = "lower --lr, warm up longer or clip with --clip-norm"
    remedy = ". ".join(more) if "inconsistent" in what else by_rate
    state = f"{trainer.cfg.checkpoint.save_dir}/crash.pt"
    return f"training diverged after {trainer.get_num_updates()} updates: {what}; {remedy} (its state is in {state})"


class _TorchWithoutCuda:
    """torch as the trainer sees it: the one number it moves to a GPU stays where it is."""

    def __init__(self, torch):
        self._torch = torch

    def tensor(self, *args, **kwargs):
        number = self._torch.tensor(*args, **kwargs)
        number.cuda = lambda: number
        return number

    def __getattr__(self, name):
        return getattr(self._torch, name)
