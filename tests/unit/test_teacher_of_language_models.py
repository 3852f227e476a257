"""A teacher of a language model: what it adds to the loss, memory of its own, and who may be one."""

from argparse import Namespace

import pytest
import torch
from fairseq import metrics
from tiny_language_models import (
    ALL_ATTENTION,
    TRANSFORMER,
    WORDS,
    Task,
    batch,
    build,
    chances,
    checkpoint_of,
    options,
    stock,
)
from torch.nn.functional import kl_div

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.criterions import DspCrossEntropyCriterion
from dsp_fairseq.training.teacher import Teacher, teacher_problems

PADDING = 1
OTHER = {"segment_length": 3, "memory_length": 2, "persistent_vectors": 2}  # segments and memory unlike the student's


def all_attention(variant="plain", mask=None, **more):
    return checkpoint_of(build(ALL_ATTENTION, variant, **more), options(ALL_ATTENTION, variant, **more), mask)


def stock_checkpoint():
    state = checkpoint_of(stock("norms before blocks"), options(TRANSFORMER, "norms before blocks"))
    state["cfg"]["model"].arch = state["cfg"]["model"]._name = "transformer_lm"
    return state


TEACHERS = {
    "other memory": lambda: all_attention(**OTHER),
    "masked": lambda: all_attention(mask=[1, 0, 1, 0, 0, 0]),
    "adaptive": lambda: all_attention("adaptive"),
    "transformer": lambda: checkpoint_of(build(TRANSFORMER), options(TRANSFORMER)),
    "stock": stock_checkpoint,
}


@pytest.fixture
def teacher(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "teacher.pt")
        return str(tmp_path / "teacher.pt")

    return write


def sample():
    inputs = batch()
    target = torch.cat([inputs["src_tokens"][:, 1:], torch.full((3, 1), PADDING)], dim=1)
    return {"net_input": inputs, "target": target, "ntokens": int(target.ne(PADDING).sum()), "nsentences": 3}


def criterion(path=None, **more):
    made = DspCrossEntropyCriterion(Task(), sentence_avg=False, teacher=path, **more)
    made.train()
    return made


def probabilities_of(state):
    if state["cfg"]["model"]._name == "transformer_lm":
        return chances(stock("norms before blocks"))
    return chances(build_model(state))


def slow_loss(student, taught, weight, temperature):
    """Loss and nll, one word at a time."""
    total = entropy = 0.0
    for row, words in enumerate(sample()["target"]):
        for place, word in enumerate(words):
            if word != PADDING:
                log_p, log_q = student[row, place].double(), taught[row, place].double()
                entropy -= float(log_p[word])
                p, q = (log_p / temperature).log_softmax(0), (log_q / temperature).softmax(0)
                total += weight * temperature**2 * float(kl_div(p, q, reduction="sum"))
    return total + (1 - weight) * entropy, entropy


@pytest.mark.parametrize("kind", TEACHERS)
def test_every_kind_of_checkpoint_teaches_as_it_predicts(kind, teacher):
    state, student = TEACHERS[kind](), build(ALL_ATTENTION)
    made = criterion(teacher(state), distillation_weight=0.3, distillation_temperature=3.0)
    loss, _, logged = made(student.train(), sample())
    expected, nll = slow_loss(chances(student.eval()), probabilities_of(state), 0.3, 3.0)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(logged["nll_loss"]) == pytest.approx(nll, rel=1e-4) and float(logged["distillation"]) > 1


@pytest.mark.parametrize("kind", ["other memory", "transformer"])
def test_a_batch_is_taught_as_its_texts_are(kind, teacher):
    path, inputs, weight = teacher(TEACHERS[kind]()), batch(), build(ALL_ATTENTION).decoder.embed_tokens.weight
    together, made = Teacher(path).logits(inputs, weight), Teacher(path)
    for row, length in enumerate(inputs["src_lengths"].tolist()):
        one = {"src_tokens": inputs["src_tokens"][row : row + 1, :length], "src_lengths": torch.tensor([length])}
        for _ in range(2):  # the second time nothing is left of the first
            assert torch.allclose(made.logits(one, weight)[0], together[row, :length], atol=1e-5)


def test_the_student_is_as_it_would_be_alone(teacher):
    """Its memory, its dropout and its validation are not the teacher's."""
    path, student = teacher(all_attention(**OTHER)), build(ALL_ATTENTION, dropout=0.3)
    torch.manual_seed(4)
    alone = criterion()(student.train(), sample())
    torch.manual_seed(4)
    taught = criterion(path, distillation_weight=0.0)(student.train(), sample())
    assert float(taught[0].detach()) == pytest.approx(float(alone[0].detach()), rel=1e-6)
    plain, made = criterion().eval(), criterion(f"{path}.not-there").eval()
    (one, _, _), (other, _, logged) = (each(student.eval(), sample()) for each in (plain, made))
    assert float(one.detach()) == float(other.detach()) and not {"nll_loss", "distillation"} & set(logged)
    assert not list(made.parameters()) and not made.state_dict()


def test_the_weight_by_default(teacher):
    path = teacher(all_attention())
    for weight, more in ((0.9, {}), (0.5, {"pruning_method": "dsp", "heads_to_keep": 3, "max_update": 9})):
        losses = [
            criterion(path, distillation_weight=given)(build(ALL_ATTENTION, **more).train(), sample())[0].item()
            for given in (None, weight)
        ]
        assert losses[0] == losses[1]


def test_the_logged_perplexity_is_without_the_teacher():
    logs = [
        {"loss": 9.0, "nll_loss": 3.0, "ntokens": 2, "sample_size": 2, "distillation": 5.0},
        {"loss": 9.0, "nll_loss": 4.0, "ntokens": 3, "sample_size": 3, "distillation": 5.0},
    ]
    with metrics.aggregate(new_root=True) as seen:
        DspCrossEntropyCriterion.reduce_metrics(logs)
    bits = 7 / 5 / 0.6931472
    assert seen["nll_loss"].avg == pytest.approx(bits, rel=1e-5)
    assert seen.get_smoothed_values()["ppl"] == pytest.approx(2**bits, rel=1e-2)
    assert seen["distillation"].avg == pytest.approx(10 / 5 / 0.6931472, rel=1e-5)
    with metrics.aggregate(new_root=True) as alone:
        DspCrossEntropyCriterion.reduce_metrics([{"loss": 9.0, "ntokens": 2, "sample_size": 2}])
    assert "nll_loss" not in alone and alone.get_smoothed_values()["ppl"] == pytest.approx(2**6.492, rel=1e-2)


# --- who may teach

NAMES = [f"w{i}" for i in range(WORDS - 4)]


def folder_of_words(folder, words):
    folder.mkdir()
    (folder / "dict.txt").write_text("".join(f"{word} 1\n" for word in words))
    return str(folder)


@pytest.fixture
def problems(tmp_path, teacher):
    """Lines for a teacher that was trained in the folder ``there``."""
    here = folder_of_words(tmp_path / "here", NAMES)

    def found(state=None, there=here, **said):
        state = all_attention() if state is None else state
        state["cfg"]["task"] = {"data": there}
        said = {"data": here, "arch": ALL_ATTENTION, "tokens_per_sample": 64, "teacher": teacher(state), **said}
        return teacher_problems(Namespace(**said))

    return found


@pytest.mark.parametrize("kind", TEACHERS)
@pytest.mark.parametrize("student", [ALL_ATTENTION, TRANSFORMER])
def test_a_teacher_with_the_same_words_may_teach(kind, student, problems):
    assert problems(TEACHERS[kind](), arch=student) == []


def learned():
    more = {"decoder_learned_pos": True, "max_target_positions": 64}
    return checkpoint_of(build(TRANSFORMER, **more), options(TRANSFORMER, **more))


@pytest.mark.parametrize(
    "said, words",
    [
        ({"adaptive_softmax_cutoff": "10,20"}, ["--adaptive-softmax-cutoff 10,20", "over all words", "leave out one"]),
        ({"output_dictionary_size": 30}, ["--teacher", "predicts 40 words, this training 30"]),
        (
            {"arch": "gated_transformer"},
            ["is of all_attention_lm", "a gated_transformer reads", "of gated_transformer or"],
        ),
        ({"state": learned(), "tokens_per_sample": 65}, ["--tokens-per-sample 65", "learned positions up to 64"]),
        ({"state": learned(), "sample_break_mode": "eos", "max_tokens": 99}, ["--max-tokens 99", "up to 64"]),
    ],
)
def test_each_problem_is_one_line(said, words, problems):
    [line] = problems(**said)
    assert all(word in line for word in words), line
    assert problems(state=learned()) == []


def test_other_words(problems, tmp_path):
    there = folder_of_words(tmp_path / "there", [*NAMES[:7], "other", *NAMES[8:]])
    [line] = problems(there=there)
    assert "word 11" in line and "'other'" in line and "'w7'" in line
    [line] = problems(data=folder_of_words(tmp_path / "more", [*NAMES, "another"]))
    assert "has 41 words" in line and "has 40" in line


def test_a_dictionary_that_is_gone_is_told(problems, caplog):
    assert problems(there="gone") == []
    assert "only the number of its words can be compared, because dictionary gone/dict.txt" in caplog.text
