"""``dsp-fairseq report CKPT``"""

HELP = "print the heads that a checkpoint keeps, their importance, and its parameters by part"


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--plot", metavar="FILE.png", help="also draw the heads and their importance as a heat map")
    parser.add_argument("--force", action="store_true", help="overwrite the picture")


def run(arguments) -> None:
    from .. import pictures
    from ..report import as_json, as_text

    report = _checked(arguments)
    if arguments.plot:
        from .. import heat_map  # needs matplotlib

        pictures.save(heat_map.draw(report), arguments.plot, arguments.force)
    print(as_json(report) if arguments.json else as_text(report))


def _checked(arguments):
    """The report; raises BadInput with all that is wrong with the command line and the checkpoint."""
    from dsp_fairseq_startup.bad_checkpoint import BadCheckpoint

    from .. import pictures
    from ..errors import BadInput, refuse
    from ..report import report_of

    problems, report = [], None
    if arguments.plot:
        problems += pictures.problems(arguments.plot, arguments.force)
    elif arguments.force:
        problems.append("--force: only --plot writes a file; leave it out, or name a picture")
    try:
        report = report_of(arguments.checkpoint)
    except (BadInput, BadCheckpoint) as problem:
        problems.append(str(problem))
    refuse(problems)
    return report
