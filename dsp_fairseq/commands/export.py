"""``dsp-fairseq export ctranslate2 CKPT OUT``"""

from ..export import QUANTIZATIONS
from .budgets import add_budgets, budgets_of
from .inputs import refuse_if_missing

HELP = "write the model for a faster runtime"

CTRANSLATE2 = "write a folder that CTranslate2 translates with, checked against fairseq"


def add_arguments(parser) -> None:
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    ctranslate2 = formats.add_parser("ctranslate2", help=CTRANSLATE2, description=CTRANSLATE2)
    ctranslate2.add_argument(
        "checkpoint", metavar="CKPT", help="of a gated_transformer, a gated_transformer_lm, or their stock models"
    )
    ctranslate2.add_argument("out", metavar="OUT", help="the folder to write")
    ctranslate2.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        default=QUANTIZATIONS[0],
        help="of the weights (default: none, float32)",
    )
    ctranslate2.add_argument(
        "--data",
        metavar="DIR",
        help="folder with the dictionaries, dict.LANG.txt (default: the data folder of the training)",
    )
    add_budgets(ctranslate2)
    ctranslate2.add_argument("--force", action="store_true", help="replace OUT, if it is an export")


def check(arguments) -> None:
    refuse_if_missing([arguments.checkpoint])


def run(arguments) -> None:
    from ..export.requirement import require_ctranslate2

    require_ctranslate2()
    from ..export.convert import export

    done = export(
        arguments.checkpoint,
        arguments.out,
        quantization=arguments.quantization,
        data=arguments.data,
        force=arguments.force,
        **budgets_of(arguments),
    )
    print(done)
