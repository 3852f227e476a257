"""Messages for data folders and dictionaries that are missing or incomplete."""

import os

from ..tracebacks import frames, raised_in, variable

HOW_TO_MAKE_IT = "`fairseq-preprocess --destdir FOLDER` makes a data folder"
NO_DATASET = "Dataset not found: "


def explain(error):
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return _missing_file(error)
    if isinstance(error, (TypeError, AttributeError)):
        return _missing_side(error)
    if str(error).startswith("Could not infer language pair"):
        folder = variable(error, "paths", ["the data folder"])[0]
        return (
            f"{folder} holds no data of a language pair (such as train.de-en.de.idx); {HOW_TO_MAKE_IT};"
            " or name the languages with --source-lang and --target-lang"
        )
    if str(error) == "Source and target must contain the same number of examples":
        folder = variable(error, "data_path", "the data folder", "load_langpair_dataset")
        split = variable(error, "split", "data", "load_langpair_dataset")
        return f"source and target of {split} in {folder} have different numbers of sentences; make them anew"
    return None


def _missing_file(error):
    if raised_in(error, "infer_language_pair"):
        problem = "does not exist" if isinstance(error, FileNotFoundError) else "is not a folder"
        return f"data folder {error.filename} {problem}; {HOW_TO_MAKE_IT}"
    folder, name = os.path.split(str(error.filename or ""))
    if isinstance(error, FileNotFoundError) and name.startswith("dict.") and raised_in(error, "load_dictionary"):
        missing = f"dictionary {error.filename}" if os.path.isdir(folder) else f"data folder {folder}"
        return f"{missing} does not exist; {HOW_TO_MAKE_IT}"
    if str(error).startswith(NO_DATASET):
        split, _, folder = str(error).removeprefix(NO_DATASET).partition(" ")
        place = f"of these languages in {folder.strip('()')}"
        if variable(error, "dataset_impl", None, "load_langpair_dataset") == "raw":
            makes_it = "`fairseq-preprocess --dataset-impl raw --destdir FOLDER` makes a folder of it"
            return f"no {split} text {place}, which --dataset-impl raw reads; {makes_it}"
        return f"no {split} data {place}; {HOW_TO_MAKE_IT}"
    return None


def _missing_side(error):
    """The message for data without target side, which can be translated, but not used for training or scoring."""
    for frame in frames(error):
        sample, task = frame.f_locals.get("sample"), frame.f_locals.get("task") or frame.f_locals.get("self")
        task = getattr(task, "task", task)
        if isinstance(sample, dict) and sample.get("target", "") is None and hasattr(task, "datasets"):
            subsets = [name for name, data in task.datasets.items() if getattr(data, "tgt", "") is None]
            return (
                f"{task.cfg.data} has no {task.cfg.target_lang} side of {', '.join(subsets)}, which this needs; "
                f"{HOW_TO_MAKE_IT} with both"
            )
    return None
