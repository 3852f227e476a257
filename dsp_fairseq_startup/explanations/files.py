"""Messages for checkpoints and other files that are missing or do not fit."""

from ..tracebacks import raised_in
from .patterns import CHECKPOINT_PATH

WHERE = "(DSP_DEBUG=1 shows where it was needed)"
UNFIT_CHECKPOINT = "Cannot load model parameters from checkpoint "
FILE_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)


def explain(error):
    if isinstance(error, IsADirectoryError) and raised_in(error, "load_checkpoint_to_cpu"):
        return f"checkpoint {error.filename} is a folder; {CHECKPOINT_PATH}"
    if str(error).startswith(UNFIT_CHECKPOINT):
        return _unfit_checkpoint(error)
    if isinstance(error, FileNotFoundError) and raised_in(error, "import_user_module"):
        return f"--user-dir {error} does not exist; `dsp-fairseq user-dir` prints the folder of dsp_fairseq"
    if isinstance(error, FILE_ERRORS) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()} {WHERE}"
    return None


def _unfit_checkpoint(error):
    path = str(error).removeprefix(UNFIT_CHECKPOINT).partition(";")[0]
    if '"gates.logits"' in str(error.__context__):
        arch = "--arch gated_transformer_... as in its training"
        return f'checkpoint {path}: is of a gated_transformer; say {arch}, and --user-dir "$(dsp-fairseq user-dir)"'
    return f"checkpoint {path}: has other weights than this --arch with these options; say those of its training"
