"""fairseq-generate and -interactive in process: every option does what it says, or one line says what is wrong."""

import contextlib
import copy
import importlib
import inspect
import io
import re
import runpy
import shutil
import sys
from types import SimpleNamespace

import pytest
import sacrebleu
import torch
from fairseq import options
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import eval_lm
from omegaconf import OmegaConf
from tiny_corpus import GATED, POSITIONS, STOCK, binarise, call, train, write_corpus

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq_startup import console
from dsp_fairseq_startup.checkpoints import unfit
from dsp_fairseq_startup.decoding.unread import READ, UNREAD
from dsp_fairseq_startup.errors import BadCheckpoint, WrongUse
from dsp_fairseq_startup.explanations import explain, vocabulary
from dsp_fairseq_startup.options.plain_values import NotAPlainValue

ONE_OF_EACH = "encoder.self=1,decoder.self=1,decoder.cross=1"
PARSERS = {
    "generate": options.get_generation_parser,
    "interactive": options.get_interactive_generation_parser,
    "eval_lm": options.get_eval_lm_parser,
}


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("letters"))
    data = binarise(folder, "data")
    raw = binarise(
        folder, "raw", "--dataset-impl", "raw", "--srcdict", data / "dict.de.txt", "--tgtdict", data / "dict.en.txt"
    )
    languages = ["-s", "de", "-t", "en"]
    models = {
        "stock": train(data, folder / "stock", *STOCK, *languages),
        "gated": train(data, folder / "gated", *GATED, *languages, "--heads-to-keep", ONE_OF_EACH),
    }
    configurations = {}
    for command, parser in PARSERS.items():
        arguments = [str(data), "--path", str(models["stock"]), "--cpu"]
        arguments += ["--tokens-per-sample", "16"] if command == "eval_lm" else POSITIONS
        parsed = options.parse_args_and_arch(parser(), arguments)
        configurations[command] = convert_namespace_to_omegaconf(parsed)
        configurations[command].dataset.num_workers = 0 if command == "generate" else 1
    return SimpleNamespace(folder=folder, data=data, raw=raw, models=models, configurations=configurations)


@pytest.fixture(autouse=True)
def no_debugging(monkeypatch):
    monkeypatch.delenv("DSP_DEBUG", raising=False)


@pytest.fixture
def decode(letters, capsys, monkeypatch):
    """Run `main` as the command does; return exit status, lines of standard output and its messages on stderr."""

    def run(command="generate", stdin=b"", model="stock", data=None, **changes):
        module = importlib.import_module(f"fairseq_cli.{command}")
        cfg = copy.deepcopy(letters.configurations[command])
        cfg.common_eval.path = str(letters.models[model])
        cfg.task.data = str(data or letters.data)
        for name, value in changes.items():
            group, _, option = name.rpartition("__")
            if name == "bpe":
                cfg.bpe = value
            else:
                cfg[group or "generation"][option] = value
        cfg.task.dataset_impl = cfg.dataset.dataset_impl
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = 0
        try:
            console.with_one_line_errors(module.main, f"fairseq-{command}")(cfg)
        except SystemExit as exit:
            status = exit.code
        said = capsys.readouterr()
        reported = [line for line in said.err.splitlines() if line.startswith(f"fairseq-{command}: ")]
        return status, said.out.splitlines(), [line.partition(": ")[2].removeprefix("error: ") for line in reported]

    return run


def values(lines, kind):
    """Last column of the first line `KIND-number ...` of each number."""
    found = {}
    for line in lines:
        match = re.match(rf"{kind}-(\d+)\t", line)
        if match:
            found.setdefault(int(match.group(1)), line.split("\t")[-1])
    return found


def numbers(alignment):
    return [float(number) for number in re.split("[- ,]", alignment)]


# --- numbers and combinations: refused before anything is loaded ---

NOT_A_NUMBER = float("nan")
INFINITE = float("inf")
WRONG = [
    *[("beam", value, "1 or more") for value in (0, -1)],
    *[("nbest", value, "1 to --beam") for value in (0, -1)],
    ("nbest", 6, "only --beam 5"),
    *[("max_len_a", value, "a number from 0 on") for value in (INFINITE, NOT_A_NUMBER, -1.0)],
    ("max_len_b", -5, "0 or more"),
    ("max_len_b", 0, "is shorter"),
    ("min_len", 300, "is shorter"),
    ("min_len", -1, "0 or more"),
    *[("lenpen", value, "a number") for value in (INFINITE, NOT_A_NUMBER)],
    *[("unkpen", value, "a number") for value in (-INFINITE, NOT_A_NUMBER)],
    *[("temperature", value, "above 0") for value in (0.0, -1.0, INFINITE, NOT_A_NUMBER)],
    ("sampling_topk", 0, "1 or more"),
    ("sampling_topk", 3, "needs --sampling"),
    ("sampling_topp", 2.0, "at most 1"),
    ("sampling_topp", 0.5, "needs --sampling"),
    ("sampling", True, "must be the same number"),
    ("diverse_beam_groups", 0, "1 or more"),
    ("diverse_beam_groups", 3, "must divide --beam 5"),
    ("diverse_beam_strength", 0.25, "needs --diverse-beam-groups"),
    ("diversity_rate", -2.0, "from 0 on"),
    ("prefix_size", -1, "0 or more"),
    ("no_repeat_ngram_size", -2, "0 for no such limit"),
    ("lm_weight", 0.5, "needs --lm-path"),
    ("lm_path", "lm.pt", "needs --lm-weight"),
    ("constraints", "ordered", "fairseq-interactive reads them"),
    ("dataset__num_shards", 0, "1 or more"),
    ("dataset__shard_id", 1, "0 to 0"),
    ("dataset__num_workers", -1, "0 or more"),
    ("dataset__required_batch_size_multiple", 0, "1 or more"),
    ("dataset__max_tokens", 0, "1 or more"),
    ("common__seed", -1, "0 to 4294967295"),
    ("common__seed", 2**32, "0 to 4294967295"),
]


@pytest.mark.parametrize("name, value, reported", WRONG)
def test_a_wrong_value_is_reported_with_what_is_allowed(decode, name, value, reported):
    status, out, lines = decode(**{name: value})
    flag = "--" + name.partition("__")[2 if "__" in name else 0].replace("_", "-")
    assert status == 2 and out == []
    assert any(flag in line and str(value).removesuffix("True") in line and reported in line for line in lines), lines


def test_searches_exclude_each_other_and_all_problems_are_reported(decode):
    status, _, lines = decode(diversity_rate=0.5, match_source_len=True, beam=0, dataset__shard_id=7)
    assert status == 2 and sorted(line.split()[0] for line in lines) == ["--beam", "--match-source-len", "--shard-id"]
    assert any("--diversity-rate" in line for line in lines)


@pytest.mark.parametrize(
    "changes", [{"unkpen": INFINITE}, {"max_len_a": 1e30, "max_len_b": 10**20}, {"dataset__batch_size": -1}]
)
def test_large_values_with_a_meaning_stay_allowed(decode, changes):
    status, out, lines = decode(**changes)
    assert status == 0 and lines == [] and sorted(values(out, "H")) == list(range(9))


@pytest.mark.parametrize(
    "changes, reported",
    [
        ({"min_len": 40}, "--min-len 40: more than the 29 words"),
        ({"sampling": True, "nbest": 5, "sampling_topk": 100}, "--sampling-topk 100: the target dictionary has"),
        ({"print_step": True}, "--print-step: this model does not decode by refinement"),
        ({"retain_iter_history": True}, "--retain-iter-history: this model does not"),
        ({"dataset__max_tokens": 2}, "--max-tokens 2: the longest sentence"),
        ({"task__max_source_positions": 3}, "the most that model and task take is 3, 30;"),
        ({"common_eval__post_process": "bogus"}, "--post-process bogus: subword_nmt,"),
        ({"dataset__num_shards": 99, "dataset__shard_id": 98}, "there is no sentence in this subset or shard"),
        ({"replace_unk": "nowhere", "dataset__dataset_impl": "raw"}, "--replace-unk nowhere: No such file"),
    ],
)
def test_what_only_model_or_data_show_is_reported_too(decode, letters, changes, reported):
    data = letters.raw if "replace_unk" in changes else None
    status, _, [line] = decode(data=data, **changes)
    assert status == 2 and reported in line


# --- options that were ignored ---


def test_shards_share_the_sentences(decode):
    shards = [
        values(decode(dataset__num_shards=3, dataset__shard_id=i, dataset__batch_size=2)[1], "H") for i in range(3)
    ]
    assert sorted(number for shard in shards for number in shard) == list(range(9))
    assert all(shards)
    assert {number: text for shard in shards for number, text in shard.items()} == values(
        decode(dataset__batch_size=2)[1], "H"
    )


def test_sacrebleu_is_what_scores(decode):
    _, out, _ = decode(sacrebleu=True)
    hypotheses, references = values(out, "D"), values(out, "T")
    expected = sacrebleu.corpus_bleu([hypotheses[i] for i in range(9)], [[references[i] for i in range(9)]])
    assert out[-1].partition(": ")[2] == expected.format()


def test_hypotheses_without_a_word_score_nothing(decode):
    _, out, _ = decode(min_len=0, max_len_b=0)
    assert "BLEU4 = 0.00" in out[-1] and "syslen=0" in out[-1]


def test_what_is_not_read_is_reported(decode):
    *_, lines = decode(common__amp=True, checkpoint__patience=3, iter_decode_max_iter=3, max_len_b=5)
    assert lines == ["warning: it does not read --amp, --patience, --iter-decode-max-iter"]
    *_, lines = decode("interactive", prefix_size=2, common_eval__quiet=True, task__truncate_source=True, beam=2)
    assert lines == ["warning: it does not read --prefix-size, --quiet, --truncate-source"]


@pytest.mark.parametrize("command", ["generate", "interactive", "validate"])
def test_nothing_that_is_read_is_called_unread(command):
    source = inspect.getsource(importlib.import_module(f"fairseq_cli.{command}"))
    groups = "common|common_eval|dataset|checkpoint|generation|distributed_training"
    used = set(re.findall(rf"(?<!saved_)cfg\.({groups})\.(\w+)", source))
    used -= {("distributed_training", "pipeline_model_parallel")}  # of a model that fairseq 0.12.2 cannot decode with
    assert len(used) > 10
    for group, name in used:
        read, unread = READ.get(group), UNREAD[command].get(group, set())
        assert name not in unread and (read is None or name in read), (group, name)


@pytest.mark.parametrize(
    "arguments, reported",
    [
        ("--max-tokens 9 --num-shards 2 --quiet", "warning: it does not read --num-shards, --quiet"),
        (
            "--max-tokens 9 --max-source-positions 1 --skip-invalid-size-inputs-valid-test",
            "error: there is no sentence",
        ),
        ("--max-tokens 9 --seed -1", "error: --seed -1: 0 to 4294967295"),
    ],
)
def test_validation(letters, capsys, arguments, reported):
    refused = "error" in reported
    with pytest.raises(SystemExit) if refused else contextlib.nullcontext():
        call(
            "validate", letters.data, "--path", letters.models["stock"], "--cpu", "--num-workers", 0, *arguments.split()
        )
    assert any(line.startswith(f"fairseq-validate: {reported}") for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(
    "changes, reported",
    [
        ({"eval_lm__context_window": 16}, "--context-window 16: 0 to 15"),
        ({"dataset__num_shards": 2, "dataset__shard_id": 2}, "--shard-id 2: 0 to 1"),
        ({"common_eval__path": None}, "--path required"),
    ],
)
def test_language_models(letters, changes, reported):
    cfg = copy.deepcopy(letters.configurations["eval_lm"])
    for name, value in changes.items():
        group, _, option = name.partition("__")
        cfg[group][option] = value
    with pytest.raises(WrongUse, match=reported):
        eval_lm.main(cfg)


def test_pieces_that_evaluation_of_language_models_cannot_join():
    with pytest.raises(NotImplementedError) as error:
        eval_lm.eval_lm([torch.nn.Linear(1, 1)], Dictionary(), [], post_process="sentencepiece")
    assert explain(error.value) == "--post-process=sentencepiece is not implemented; fairseq-eval-lm takes subword_nmt"


# --- unknown words ---


@pytest.mark.parametrize("model", ["stock", "gated"])
class TestReplacedWords:
    EVERY_WORD = {"unkpen": -1000.0, "max_len_b": 4, "min_len": 4, "beam": 2}
    DICTIONARY = "zebra ZEBRA\na A\n"

    def expected(self, out, sources, dictionary=None):
        """Number and text of each sentence in which all words are replaced, by the printed alignments."""
        for number, pairs in values(out, "A").items():
            words = sources[number].split()
            source_of = {int(pair.split("-")[1]): words[int(pair.split("-")[0])] for pair in pairs.split()}
            yield number, " ".join((dictionary or {}).get(source_of[i], source_of[i]) for i in range(4))

    def test_in_a_data_set(self, letters, decode, model):
        sources = (letters.folder / "test.de").read_text().splitlines()
        options = dict(model=model, data=letters.raw, dataset__dataset_impl="raw", replace_unk="@@ ", **self.EVERY_WORD)
        status, out, _ = decode(print_alignment="hard", **options)
        assert status == 0 and values(out, "D") == dict(self.expected(out, sources))
        assert values(out, "D")[5] == "yak yak yak yak"
        for alignments in (None, "soft"):
            assert values(decode(print_alignment=alignments, **options)[1], "D") == values(out, "D")

    def test_in_a_session_with_a_dictionary(self, letters, decode, model, tmp_path):
        (tmp_path / "words").write_text(self.DICTIONARY)
        lines = ["yak", "a zebra", "yak", "okapi b"]
        options = dict(model=model, replace_unk=str(tmp_path / "words"), interactive__buffer_size=4, **self.EVERY_WORD)
        status, out, _ = decode("interactive", "\n".join(lines).encode(), print_alignment="hard", **options)
        assert status == 0 and values(out, "S") == dict(enumerate(lines))
        assert values(out, "D") == dict(self.expected(out, lines, {"zebra": "ZEBRA", "a": "A"}))
        assert values(out, "D")[0] == "yak yak yak yak" and "A" in values(out, "D")[1]


def test_a_dictionary_of_single_words_is_refused(letters, decode, tmp_path):
    (tmp_path / "words").write_text("a b\nc\n")
    status, _, [line] = decode("interactive", replace_unk=str(tmp_path / "words"))
    assert status == 2 and line.endswith("words: line 2 must be a source word and its translation")


# --- sessions ---


class TestSession:
    def test_a_long_line_does_not_end_it(self, decode, caplog):
        lines = ["a b", "", "a " * 50, "b", "c " * 60]
        status, out, reported = decode("interactive", "\n".join(lines).encode(), interactive__buffer_size=2)
        assert status == 1 and sorted(values(out, "D")) == [0, 1, 3]
        assert reported[0].startswith("line 3 has 51 words") and reported[1].startswith("line 5 has 61 words")
        assert reported[2] == "2 of 5 lines were not translated, as told above"
        assert "invalid sizes" not in caplog.text  # said once
        allowed = {"dataset__skip_invalid_size_inputs_valid_test": True}
        status, out, reported = decode("interactive", "\n".join(lines).encode(), **allowed)
        assert status == 0 and sorted(values(out, "D")) == [0, 1, 3] and len(reported) == 2

    @pytest.mark.parametrize("buffer_size", [0, 3])
    def test_bad_bytes_are_reported_after_what_came_before(self, decode, tmp_path, buffer_size):
        text = b"a b\nf\xfcr\nc\n"
        status, out, [line] = decode("interactive", text, interactive__buffer_size=buffer_size)
        assert status == 2 and list(values(out, "D")) == [0]
        assert line.startswith("standard input: line 2 is not UTF-8 (byte 0xfc)")
        (tmp_path / "text").write_bytes(text)
        assert decode("interactive", interactive__input=str(tmp_path / "text"))[2][0].startswith(
            f"{tmp_path}/text: line 2"
        )

    def test_soft_alignments_are_those_of_generate(self, letters, decode):
        text = (letters.folder / "test.de").read_bytes()
        for kind in ("soft", "hard"):
            generated = values(decode(print_alignment=kind)[1], "A")
            assert len(generated) == 9
            options = {"print_alignment": kind, "interactive__buffer_size": 20, "dataset__batch_size": 20}
            interactive = values(decode("interactive", text, **options)[1], "A")
            assert interactive.keys() == generated.keys()
            for number, alignment in interactive.items():
                assert numbers(alignment) == pytest.approx(
                    numbers(generated[number]), abs=2e-6
                )  # six digits are printed

    def test_constraints(self, decode):
        status, out, reported = decode("interactive", b"a b c\tb a\tc\na\n", constraints="ordered", beam=4, max_len_b=8)
        assert status == 0 and re.search(r"b a.* c", values(out, "D")[0]) and reported == []
        _, out, reported = decode("interactive", b"a b c\tokapi\n", constraints="unordered", beam=4, max_len_b=8)
        assert "<unk>" in values(out, "D")[0]
        assert reported == [
            "warning: --constraints: okapi: not in the target dictionary, <unk> is demanded in its place"
        ]

    def test_nothing_to_read(self, decode):
        assert decode("interactive", b"")[0] == 0
        status, _, [line] = decode("interactive", interactive__input="nowhere")
        assert status == 2 and line == "--input nowhere: no such file"

    def test_a_buffer_holds_a_batch(self, decode):
        status, _, [line] = decode("interactive", dataset__batch_size=4, interactive__buffer_size=2)
        assert status == 2 and line == "--batch-size cannot be larger than --buffer-size"

    def test_an_interrupt_is_one_line(self, capsys):
        def main():
            raise KeyboardInterrupt

        with pytest.raises(SystemExit) as exit:
            console.with_one_line_errors(main, "fairseq-interactive")()
        assert exit.value.code == 130 and capsys.readouterr().err == "fairseq-interactive: interrupted\n"


# --- tokenizers and pieces ---


@pytest.mark.parametrize(
    "arguments, reported",
    [
        ("--tokenizer moses -s de", "--target-lang is missing"),
        ("--bpe subword_nmt", "--bpe subword_nmt needs --bpe-codes"),
        ("--bpe characters", "--bpe characters: fairseq 0.12.2 registers it without its options"),
    ],
)
def test_pieces_and_tokenizers_say_what_they_need(letters, capsys, arguments, reported):
    with pytest.raises(SystemExit) as exit:
        call("interactive", letters.data, "--path", letters.models["stock"], "--cpu", *arguments.split())
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fairseq-interactive: error: ")]
    assert exit.value.code == 2 and reported in line


@pytest.mark.parametrize("command", ["generate", "interactive"])
def test_files_of_pieces_must_be_there(decode, command, tmp_path):
    for given, reported in (
        ("???", "--bpe sentencepiece needs --sentencepiece-model"),
        ("x.model", "--sentencepiece-model x.model: no"),
    ):
        pieces = OmegaConf.create({"_name": "sentencepiece", "sentencepiece_model": given})
        status, _, [line] = decode(command, bpe=pieces)
        assert status == 2 and line.startswith(reported)
    (tmp_path / "x.model").write_text("no model")
    pieces.sentencepiece_model = str(tmp_path / "x.model")
    status, _, [line] = decode(command, bpe=pieces)
    assert status == 2 and line == f"--sentencepiece-model {tmp_path}/x.model: no model of sentencepiece"


def test_packages_that_are_not_there():
    assert explain(ImportError("Please install nltk with: pip install nltk")).startswith("Please install nltk")
    assert explain(ImportError("cannot import name x")) is None


# --- another vocabulary, a missing side ---


@pytest.fixture(scope="module")
def larger(letters):
    """Data folder with two more words in the German dictionary."""
    folder = letters.folder / "larger"
    shutil.copytree(letters.data, folder)
    with open(folder / "dict.de.txt", "a") as file:
        file.write("okapi 1\nyak 1\n")
    return folder


class TestAnotherDictionary:
    def check_message(self, line, larger, letters, model):
        sizes = [int(number) for number in re.findall(r"has (\d+) symbols, .* with (\d+)", line)[0]]
        assert sizes[0] == sizes[1] + 2
        assert f"dictionary {larger}/dict.de.txt" in line and str(letters.models[model]) in line and "--srcdict" in line

    @pytest.mark.parametrize("command, model", [("generate", "gated"), ("interactive", "stock")])
    def test_in_decoding(self, letters, decode, larger, command, model):
        status, _, [line] = decode(command, b"a\n", model=model, data=larger)
        assert status == 2
        self.check_message(line, larger, letters, model)

    def test_in_validation(self, letters, larger, capsys):
        with pytest.raises(SystemExit):
            call("validate", larger, "--path", letters.models["stock"], "--cpu", "--max-tokens", 100)
        self.check_message(capsys.readouterr().err.splitlines()[-1], larger, letters, "stock")

    @pytest.mark.parametrize("model, how", [("stock", "--restore-file"), ("gated", "--finetune-from-model")])
    def test_in_training(self, letters, larger, capsys, tmp_path, model, how):
        architecture = STOCK if model == "stock" else [*GATED, "--heads-to-keep", ONE_OF_EACH]
        with pytest.raises(SystemExit):
            train(larger, tmp_path, *architecture, how, letters.models[model])
        self.check_message(capsys.readouterr().err.splitlines()[-1], larger, letters, model)

    def test_other_languages_are_reported(self, capsys):
        task = SimpleNamespace(cfg=SimpleNamespace(source_lang="en", target_lang="de"))
        saved = SimpleNamespace(task=SimpleNamespace(source_lang="de", target_lang="en"))

        def load(filenames, arg_overrides, task):
            return [], saved, task

        for given in (task, SimpleNamespace(cfg=saved.task)):
            unfit.warn_of_other_languages(load, ["x.pt"], task=given)
        reported = capsys.readouterr().err.splitlines()
        assert reported == [
            "warning: checkpoint x.pt translates de to en, the data are en to de (--source-lang, --target-lang)"
        ]

    def test_weights_of_another_width_are_another_matter(self):
        sizes = (
            "copying a param with shape torch.Size([{}, 8]) from checkpoint, "
            "the shape in current model is torch.Size([{}, 8])."
        )
        embedding = f"size mismatch for encoder.embed_tokens.weight: {sizes}"
        other = f"size mismatch for encoder.layers.0.fc1.weight: {sizes}"
        assert "has 12 symbols" in vocabulary.explain(RuntimeError(embedding.format(10, 12)))
        assert vocabulary.explain(RuntimeError(embedding.format(10, 12) + "\n" + other.format(4, 6))) is None


class TestUnfitOptions:
    def message_of(self, error):
        def load(filename):
            raise error

        with pytest.raises(BadCheckpoint) as refusal:
            unfit.name_the_file(load, "x.pt")
        [line] = str(refusal.value).splitlines()
        return line

    def test_the_file_of_a_string_that_is_not_evaluated_is_named(self):
        assert self.message_of(NotAPlainValue("'f()': must be plain")).startswith(
            "checkpoint x.pt: an option of it is 'f()'"
        )

    def test_weights_of_another_model_than_the_options_describe(self):
        line = self.message_of(
            RuntimeError("Error(s) in loading state_dict for M:\n\tsize mismatch for fc1: [3]\n\tsize mismatch for fc2")
        )
        assert line.startswith("checkpoint x.pt: its weights are not those") and "(size mismatch for fc1: [3])" in line

    def test_other_errors_are_left_alone(self):
        def load(filename):
            raise RuntimeError("out of memory")

        with pytest.raises(RuntimeError, match="^out of memory$"):
            unfit.name_the_file(load, "x.pt")


class TestOneSide:
    @pytest.fixture(scope="class")
    def source_only(self, letters):
        folder = letters.folder / "source_only"
        shutil.copytree(letters.data, folder, ignore=shutil.ignore_patterns("*.en.bin", "*.en.idx"))
        return folder

    def test_is_enough_to_translate(self, decode, source_only):
        status, out, lines = decode(data=source_only)
        assert status == 0 and len(values(out, "H")) == 9 and lines == []

    @pytest.mark.parametrize("changes", [{"prefix_size": 2}, {"score_reference": True}])
    def test_is_reported_where_both_are_needed(self, decode, source_only, changes):
        status, _, [line] = decode(data=source_only, **changes)
        assert status == 2 and line.startswith(f"{source_only} has no en side of test")

    def test_is_reported_in_training(self, source_only, tmp_path, capsys):
        with pytest.raises(SystemExit):
            train(source_only, tmp_path, *STOCK)
        assert f"{source_only} has no en side of" in capsys.readouterr().err.splitlines()[-1]


# --- python -m ---


@pytest.mark.parametrize("command", ["score", "eval_lm"])
def test_commands_run_as_modules_have_one_line_errors(capsys, monkeypatch, command):
    arguments = ["-s", "nowhere", "-r", "nowhere"] if command == "score" else ["nowhere", "--path", "x.pt"]
    monkeypatch.setattr(sys, "argv", [f"{command}.py", *arguments])
    with pytest.raises(SystemExit) as exit:
        runpy.run_module(f"fairseq_cli.{command}", run_name="__main__", alter_sys=True)
    assert exit.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"fairseq-{command.replace('_', '-')}: error: ") and "nowhere" in line


def test_processes_that_multiprocessing_spawns_run_nothing(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    runpy.run_module("fairseq_cli.generate", run_name="__mp_main__", alter_sys=True)
