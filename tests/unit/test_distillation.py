"""A teacher in the criterion: what it adds to the loss, that it stays outside the training, who may be one."""

from argparse import Namespace

import pytest
import torch
from products import Products
from tiny_batches import gated, sample
from tiny_checkpoints import REST, checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import SHAPE, Task, build
from torch.nn.functional import kl_div

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.criterions import DspLabelSmoothedCrossEntropyCriterion
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.training.teacher import Teacher, teacher_problems

PADDING = 1


def stock_checkpoint():
    model = build(GatedTransformerModel, "learned positions", pruning_method="none")
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("gates.")}
    options = {**SHAPE, "arch": "transformer", "_name": "transformer", "dropout": 0.3}
    options.update(encoder_learned_pos=True, decoder_learned_pos=True)
    return {"cfg": {"model": Namespace(**options)}, "model": weights, **REST}


KINDS = {
    "stock": stock_checkpoint,
    "masked": masked_checkpoint,
    "checkpointed": lambda: masked_checkpoint("checkpointed"),
    "pruned": lambda: without_removed_heads(masked_checkpoint()),
    "unpruned": lambda: checkpoint_of(build(GatedTransformerModel, "post-norm", pruning_method="none")),
}


@pytest.fixture
def teacher(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "teacher.pt")
        return str(tmp_path / "teacher.pt")

    return write


def criterion(teacher=None, **options):
    options = {"sentence_avg": False, "label_smoothing": 0.1, **options}
    made = DspLabelSmoothedCrossEntropyCriterion(Task(), teacher=teacher, **options)
    made.train()
    return made


def slow_loss(model, taught, weight, temperature, skipped=0):
    """Cross entropy and divergence, one target token at a time."""
    batch = sample()
    student, total = model(**batch["net_input"])[0].detach().double(), 0.0
    for row, words in enumerate(batch["target"]):
        for place, word in enumerate(words):
            if place < skipped or word == PADDING:
                continue
            log_p = student[row, place].log_softmax(0)
            smooth = 0.1 / (len(log_p) - 1)
            entropy = -(1 - 0.1 - smooth) * log_p[word] - smooth * log_p.sum()
            q = (taught[row, place].double() / temperature).softmax(0)
            divergence = kl_div((student[row, place] / temperature).log_softmax(0), q, reduction="sum")
            total += (1 - weight) * entropy + weight * temperature**2 * divergence
    return float(total)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_checkpoint_teaches_as_it_decodes(kind, teacher):
    state = KINDS[kind]()
    path = teacher(state)
    if kind == "stock":
        options = Namespace(
            **{**vars(state["cfg"]["model"]), "arch": "gated_transformer", "_name": "gated_transformer"}
        )
        state = {**state, "cfg": {"model": Namespace(**vars(options), pruning_method="none")}}
    model, taught = gated(pruning_method="none"), build_model(state)(**sample()["net_input"])[0].detach()
    loss, _, logged = criterion(path, distillation_weight=0.3, distillation_temperature=3.0)(model, sample())
    assert float(loss.detach()) == pytest.approx(slow_loss(model, taught, 0.3, 3.0), rel=1e-4)
    assert float(logged["loss"]) == float(loss.detach()) and float(logged["distillation"]) > 1


def test_what_is_ignored_is_not_taught(teacher):
    state = masked_checkpoint()
    model, taught = gated(pruning_method="none"), build_model(state)(**sample()["net_input"])[0].detach()
    made = criterion(teacher(state), distillation_weight=0.3, ignore_prefix_size=2)
    assert float(made(model, sample())[0].detach()) == pytest.approx(slow_loss(model, taught, 0.3, 2.0, 2), rel=1e-4)


@pytest.mark.parametrize(
    "weight, options", [(0.9, {"pruning_method": "none"}), (0.5, {"pruning_method": "dsp", "heads_to_keep": 9})]
)
def test_the_weight_by_default(weight, options, teacher):
    path = teacher(masked_checkpoint())
    losses = [criterion(path, distillation_weight=w)(gated(**options), sample())[0].item() for w in (None, weight)]
    assert losses[0] == losses[1]


def test_validation_is_without_the_teacher(teacher):
    model = gated(pruning_method="dsp", heads_to_keep=9).eval()
    plain, taught = criterion(), criterion(str(teacher(masked_checkpoint())) + ".not-there")
    for made in (plain, taught):
        made.eval()
    one, other = (made(model, sample()) for made in (plain, taught))
    assert float(one[0]) == float(other[0]) and "distillation" not in other[2]


def test_a_teacher_is_no_part_of_what_trains(teacher):
    made, model = criterion(teacher(masked_checkpoint())), gated(pruning_method="dsp", heads_to_keep=9)
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    made(model, sample())[0].backward()
    assert torch.equal(torch.rand(5), expected)  # the dropout of the student stays as without a teacher
    assert not list(made.parameters()) and not list(made.buffers()) and not made.state_dict()
    of_teacher = made.teacher._model
    assert not of_teacher.training and all(p.grad is None for p in of_teacher.parameters())
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_projects_all_words_at_once(kind, teacher):
    with Products() as products:
        taught = Teacher(teacher(KINDS[kind]())).logits(sample()["net_input"], torch.zeros(()))
    assert products.shapes[-1] == (taught[..., 0].numel(), taught.size(-1)) and not taught.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_has_the_precision_of_the_student(kind, teacher):
    made, model = criterion(teacher(KINDS[kind]())), gated(pruning_method="dsp", heads_to_keep=9).to(torch.bfloat16)
    loss, _, logged = made(model, sample())
    loss.backward()
    assert {p.dtype for p in made.teacher._model.parameters()} == {torch.bfloat16}
    assert loss.isfinite() and float(logged["distillation"]) > 1


def test_the_log_is_per_target_token_in_bits():
    from fairseq import metrics

    logs = [{"loss": 0, "nll_loss": 0, "ntokens": n, "sample_size": n, "distillation": d} for n, d in ((6, 3), (4, 5))]
    with metrics.aggregate(new_root=True) as seen:
        DspLabelSmoothedCrossEntropyCriterion.reduce_metrics(logs)
    assert seen["distillation"].avg == pytest.approx(8 / 10 / 0.6931472, rel=1e-5)


# --- who may teach


def folder_of_words(folder, words):
    folder.mkdir()
    for language in ("de", "en"):
        (folder / f"dict.{language}.txt").write_text("".join(f"{word} 1\n" for word in words))
    return str(folder)


WORDS = [f"w{i}" for i in range(40)]


@pytest.fixture
def problems(tmp_path, teacher):
    """Lines for a teacher of 44 words, which was trained in the folder ``there``."""
    here = folder_of_words(tmp_path / "here", WORDS)

    def found(state=None, task=None, **options):
        state = masked_checkpoint() if state is None else state
        state["cfg"]["task"] = {"data": here, "source_lang": "de", "target_lang": "en", **(task or {})}
        said = {"data": here, "source_lang": "de", "target_lang": "en", "teacher": teacher(state), **options}
        return teacher_problems(Namespace(**said))

    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_with_the_same_words_may_teach(kind, problems):
    assert problems(KINDS[kind](), max_source_positions=64, max_target_positions=64) == []


@pytest.mark.parametrize(
    "options, words",
    [
        ({"teacher": "nowhere.pt"}, ["--teacher: checkpoint nowhere.pt: does not exist"]),
        ({"distillation_weight": 1.5}, ["--distillation-weight 1.5", "0 to 1"]),
        ({"distillation_weight": float("nan")}, ["--distillation-weight nan", "0 to 1"]),
        ({"distillation_temperature": 0.0}, ["--distillation-temperature 0.0", "0.001 to 1000"]),
        ({"teacher": None, "distillation_weight": 0.5}, ["--distillation-weight 0.5", "--teacher"]),
        ({"teacher": None, "distillation_temperature": 2.0}, ["--distillation-temperature 2.0", "--teacher"]),
        ({"source_lang": "en", "target_lang": "de"}, ["--teacher", "de to en", "en to de"]),
    ],
)
def test_each_problem_is_one_line(options, words, problems):
    [line] = problems(**options)
    assert all(word in line for word in words), line


def test_all_problems_at_once(problems):
    lines = problems(teacher="nowhere.pt", distillation_weight=-1.0, distillation_temperature=-2.0)
    assert len(lines) == 3


def test_other_words_of_the_same_number(problems, tmp_path):
    there = folder_of_words(tmp_path / "there", [*WORDS[:7], "other", *WORDS[8:]])
    lines = problems(task={"data": there})
    assert len(lines) == 2 and all("word 11" in line and "'other'" in line and "'w7'" in line for line in lines)


def test_another_number_of_words(problems, tmp_path):
    lines = problems(data=folder_of_words(tmp_path / "more", [*WORDS, "w40"]))
    assert len(lines) == 2 and all("of the checkpoint has 44" in line and "has 45 words" in line for line in lines)


def test_dictionaries_that_are_gone_are_told(problems, caplog):
    assert problems(task={"data": "gone"}) == []
    assert (
        "only the number of its words can be compared, because dictionary gone/dict.de.txt: does not exist"
        in caplog.text
    )


def test_sentences_longer_than_a_teacher_reads(problems):
    [line] = problems(stock_checkpoint(), max_source_positions=65, max_target_positions=64)
    assert "--max-source-positions 65" in line and "up to 64" in line


def test_a_file_that_is_no_checkpoint(problems, tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    [line] = problems(teacher=str(tmp_path / "text.pt"))
    assert line.startswith("--teacher: ")


def test_another_model(problems):
    state = {**masked_checkpoint(), "model": {"weight": torch.ones(2)}}
    state["cfg"]["model"] = Namespace(arch="lstm", _name="lstm")
    [line] = problems(state)
    assert "is of lstm" in line and "gated_transformer" in line
