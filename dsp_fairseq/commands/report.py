"""``dsp-fairseq report CKPT`` and ``dsp-fairseq report --history LOGDIR``"""

HELP = "print the heads that a checkpoint keeps, their importance, and its parameters by part"

DESCRIPTION = f"{HELP}; or, with --history, how the kept heads settled over a training."


def add_arguments(parser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("checkpoint", metavar="CKPT", nargs="?", help="of a gated_transformer, masked or pruned")
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
        help="also draw the heads and their importance as a heat map; with --history, the kept heads by checkpoint "
        "and the curves of the logged scalars",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the picture")


def run(arguments) -> None:
    from .. import pictures

    told, texts = _checked(arguments)
    if arguments.plot:
        pictures.save(_drawn(told, arguments), arguments.plot, arguments.force)
    print(texts.as_json(told) if arguments.json else texts.as_text(told))


def _drawn(told, arguments):
    if arguments.history is None:
        from .. import heat_map as picture  # needs matplotlib
    else:
        from ..history import picture
    return picture.draw(told)


def _checked(arguments):
    """The report or the history, and what tells it; raises BadInput with all that is wrong with what was given."""
    from dsp_fairseq_startup.bad_checkpoint import BadCheckpoint

    from .. import pictures, report
    from ..collisions import collisions
    from ..errors import BadInput, refuse
    from ..history import text as history

    problems, told = [], None
    if arguments.plot:
        problems += pictures.problems(arguments.plot, arguments.force)
        problems += collisions({"--plot": arguments.plot}, [arguments.checkpoint])
    elif arguments.force:
        problems.append("--force: only --plot writes a file; leave it out, or name a picture")
    given, folder = arguments.checkpoint, arguments.history
    try:
        if (given is None) == (folder is None):
            raise BadInput(
                "CKPT is missing: name a checkpoint, or the folder of a training with --history"
                if given is None
                else f"{given} and --history {folder}: give one of them, a checkpoint or a folder"
            )
        told = report.report_of(given) if folder is None else history.history_of(folder)
    except (BadInput, BadCheckpoint) as problem:
        problems.append(str(problem))
    refuse(problems)
    return told, report if folder is None else history
