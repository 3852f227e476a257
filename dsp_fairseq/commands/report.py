"""``dsp-fairseq report CKPT`` and ``dsp-fairseq report --history LOGDIR``"""

from dsp_fairseq_startup.errors import BadCheckpoint

from ..errors import BadInput, refuse
from .inputs import refuse_if_missing

HELP = "print what a checkpoint keeps, the numbers that rank it, and the parameters by part of the model"

DESCRIPTION = f"{HELP}; or, with --history, how the kept heads and other units settled over a training."


def add_arguments(parser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("checkpoint", metavar="CKPT", nargs="?", help="of a gated model, before or after prune")
    parser.add_argument(
        "--history",
        metavar="LOGDIR",
        help="instead of CKPT, a folder of a training: its --save-dir, of which every checkpoint*.pt is read, its "
        "--tensorboard-logdir (needs tensorboard), or one that has both",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--plot",
        metavar="FILE.png",
        help="also draw the units and their numbers as a heat map; with --history, the kept units by checkpoint "
        "and the curves of the logged scalars",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the picture")


def check(arguments) -> None:
    checkpoint, folder = arguments.checkpoint, arguments.history
    if checkpoint is None and folder is None:
        problem = "CKPT is missing: name a checkpoint, or the folder of a training with --history"
        refuse([*_picture_problems(arguments), problem])
    if checkpoint is not None and folder is not None:
        problem = f"{checkpoint} and --history {folder}: give one of them, a checkpoint or a folder"
        refuse([*_picture_problems(arguments), problem])
    if folder is None:
        refuse_if_missing([checkpoint], lambda: _picture_problems(arguments))


def run(arguments) -> None:
    from .. import pictures
    from ..history import text as history
    from ..report import report

    texts, read = (report, report.report_of) if arguments.history is None else (history, history.history_of)
    problems = _picture_problems(arguments)
    try:
        content = read(arguments.checkpoint or arguments.history)
    except (BadInput, BadCheckpoint) as problem:
        problems.append(str(problem))
    refuse(problems)
    if arguments.plot:
        pictures.save(_drawn(content, arguments), arguments.plot, arguments.force)
    print(texts.as_json(content) if arguments.json else texts.as_text(content))


def _drawn(content, arguments):
    if arguments.history is None:
        from ..report import heat_map as picture  # imports matplotlib, which may be missing
    else:
        from ..history import picture
    return picture.draw(content)


def _picture_problems(arguments) -> list[str]:
    from .. import pictures
    from ..collisions import collisions

    if arguments.plot:
        collided = collisions({"--plot": arguments.plot}, [arguments.checkpoint])
        return [*pictures.problems(arguments.plot, arguments.force), *collided]
    return ["--force: only --plot writes a file; leave it out, or name a picture"] if arguments.force else []
