"""Words for what fairseq 0.12.2 raises when input is missing: what was given, what was expected, what to do."""

import os

EXIT_CODE = 2
MAKES_IT = "`fairseq-preprocess --destdir FOLDER` makes a data folder"
USER_DIR = '--user-dir "$(dsp-fairseq user-dir)"'
WHERE = "(DSP_DEBUG=1 shows where it was needed)"

# how messages of fairseq begin that say well what to do
CLEAR_ENOUGH = (
    "--encoder-layers must match",
    "--share-all-embeddings ",
    "--share-decoder-input-output-embed",
    "AdaptiveLoss is not compatible",
    "Cannot use a fixed learning rate schedule",
    "Size of sample #",
    "The dataset is empty",
    "Trying to use an uninitialized 'dummy' batch",
    "Valid paths ",
    "world size is ",
)

# what fairseq raises where a part of it cannot work, and is not mended -> that part
NOT_MENDED = {
    "cannot import name 'libnat'": "levenshtein_transformer and insertion_transformer (they need an unbuilt library)",
    "argument --max-source-positions: conflicting option string": "the denoising tasks",
    "'TranslationFromPretrainedBARTTask' object has no attribute 'args'": "--task translation_from_pretrained_bart",
}


def explain(error):
    """One line for the user, or None if this is no known error of use."""
    from . import vocabulary, wrong_decoding  # they use the functions below

    ours = (vocabulary.explain, _data, _checkpoint, _user_dir, _command_line, _file, wrong_decoding.explain)
    for explanation in (*ours, _clear_enough, _not_mended):
        message = explanation(error)
        if message is not None:
            return message
    return None


def _data(error):
    if raised_in(error, "infer_language_pair") and isinstance(error, FileNotFoundError):
        return f"data folder {error.filename} does not exist; {MAKES_IT}"
    if raised_in(error, "infer_language_pair") and isinstance(error, NotADirectoryError):
        return f"data folder {error.filename} is not a folder; {MAKES_IT}"
    if str(error).startswith("Could not infer language pair"):
        folder = _variable(error, "paths", ["the data folder"])[0]
        return (
            f"{folder} holds no data of a language pair (such as train.de-en.de.idx); {MAKES_IT};"
            " or name the languages with --source-lang and --target-lang"
        )
    if str(error) == "Source and target must contain the same number of examples":
        folder = _variable(error, "data_path", "the data folder", "load_langpair_dataset")
        split = _variable(error, "split", "data", "load_langpair_dataset")
        return f"source and target of {split} in {folder} have different numbers of sentences; make them anew"
    if isinstance(error, FileNotFoundError):
        folder, name = os.path.split(str(error.filename or ""))
        if name.startswith("dict.") and raised_in(error, "load_dictionary"):
            missing = f"dictionary {error.filename}" if os.path.isdir(folder) else f"data folder {folder}"
            return f"{missing} does not exist; {MAKES_IT}"
        if str(error).startswith("Dataset not found: "):
            split, _, folder = str(error)[len("Dataset not found: ") :].partition(" ")
            if _variable(error, "dataset_impl", None, "load_langpair_dataset") == "raw":
                makes_it = "`fairseq-preprocess --dataset-impl raw --destdir FOLDER` makes a folder of it"
                missing = f"no {split} text of these languages in {folder.strip('()')}"
                return f"{missing}, which --dataset-impl raw reads; {makes_it}"
            return f"no {split} data of these languages in {folder.strip('()')}; {MAKES_IT}"
    return None


def _checkpoint(error):
    start = "Model file not found: "
    if isinstance(error, OSError) and str(error).startswith(start):
        return f"checkpoint {str(error)[len(start) :]} does not exist; {_path_option()}"
    if isinstance(error, IsADirectoryError) and raised_in(error, "load_checkpoint_to_cpu"):
        return f"checkpoint {error.filename} is a folder; {_path_option()}"
    if isinstance(error, ValueError) and str(error).startswith("--finetune-from-model"):
        return str(error).partition("\n")[0]
    start = "Cannot load model parameters from checkpoint "
    if str(error).startswith(start):
        path = str(error)[len(start) :].partition(";")[0]
        if '"gates.logits"' in str(error.__context__):
            its_arch = "--arch gated_transformer_... as in its training"
            return f"checkpoint {path}: is of a gated_transformer; say {its_arch}, and {USER_DIR}"
        return f"checkpoint {path}: has other weights than this --arch with these options; say those of its training"
    return None


def _path_option():
    return "--path takes a file that fairseq-train wrote, such as checkpoints/checkpoint_best.pt"


def _user_dir(error):
    if isinstance(error, FileNotFoundError) and raised_in(error, "import_user_module"):
        return f"--user-dir {error} does not exist; `dsp-fairseq user-dir` prints the folder of dsp_fairseq"
    return None


def _command_line(error):
    """fairseq's commands check their options with `assert condition, message`, a missing `--arch` with nothing."""
    if isinstance(error, RuntimeError) and not error.args and last_frame(error).f_code.co_name == "parse_args_and_arch":
        return "--arch is missing; `fairseq-train --help` lists the architectures, those of --user-dir included"
    if type(error).__name__ == "MissingMandatoryValue":  # hydra's: `???` in a YAML file
        value = '"$(dsp-fairseq user-dir)"' if error.full_key == "common.user_dir" else "..."
        return f"{error.full_key} is missing: say {error.full_key}={value}, or write it into the YAML file"
    if isinstance(error, ValueError) and str(error).startswith("Seed must be between"):  # numpy's
        return f"--seed {_seed(error)}: must be 0 to {2**32 - 1}"
    if raised_in(error, "literal_eval") and raised_in(error, "load_checkpoint"):
        said = str(error).partition("\n")[0][:100]  # it may quote a whole value
        return f"--optimizer-overrides: must be a dictionary as Python writes it, such as \"{{'lr': [0.1]}}\"; {said}"
    if isinstance(error, AssertionError) and last_frame(error).f_globals["__name__"].startswith("fairseq_cli."):
        return str(error).partition("\n")[0] or None
    return None


def _seed(error):
    for frame in frames(error):
        cfg = frame.f_locals.get("cfg")
        if hasattr(cfg, "common"):
            return cfg.common.seed
    return "(as given)"


def _file(error):
    kinds = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
    if isinstance(error, kinds) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()} {WHERE}"
    return None


def _clear_enough(error):
    """Also where an optional package is missing, which fairseq asks for by its name."""
    words = " ".join(str(error).split())
    return words if words.startswith(CLEAR_ENOUGH) or (isinstance(error, ImportError) and "install" in words) else None


def _not_mended(error):
    for start, part in NOT_MENDED.items():
        if str(error).startswith(start):
            return f"{part}: this does not work in fairseq 0.12.2 as it is installed, see docs/fairseq.md ({start})"
    return None


def frames(error):
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def last_frame(error):
    return list(frames(error))[-1]


def raised_in(error, function):
    return any(frame.f_code.co_name == function for frame in frames(error))


def _variable(error, name, otherwise, function=None):
    """fairseq's messages do not say what was given; the frame that raised, or that of `function`, still knows."""
    found = [frame for frame in frames(error) if function in (None, frame.f_code.co_name)]
    return found[-1].f_locals.get(name, otherwise) if found else otherwise
