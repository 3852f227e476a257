"""fairseq-train refuses what cannot work before the first update, and reports a failure in one line."""

import importlib.util
import logging
import types

import pytest
import torch
from fairseq_commands import LANGUAGES, TINY, run, write_texts

from dsp_fairseq_startup.checkpoints import safe_load
from dsp_fairseq_startup.errors import WrongUse
from dsp_fairseq_startup.training import best, divergence

EMPTY = '{"min_len": 0, "max_len_b": 0}'  # the only hypothesis is the end of the sentence
DIVERGING = ("--lr", "1e30", "--max-update", "9")


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("letters")
    write_texts(folder, train=24, valid=6)
    with pytest.MonkeyPatch.context() as patch:
        preprocess(folder, patch)
    return folder / "data"


def preprocess(folder, patch):
    import sys

    from fairseq_cli import preprocess

    texts = ("--trainpref", folder / "train", "--validpref", folder / "valid", "--destdir", folder / "data")
    patch.setattr(sys, "argv", ["fairseq-preprocess", *LANGUAGES, *map(str, texts)])
    preprocess.cli_main()


@pytest.fixture
def train(letters, tmp_path, monkeypatch, capsys):
    def command(*options):
        save = tmp_path / "save"
        fixed = (*TINY, "--max-update", 1, "--save-dir", save)
        status, errors = run("train", letters, *fixed, *options, monkeypatch=monkeypatch, capsys=capsys)
        return status, errors, save

    return command


def is_refused(result, *words):
    status, (error,), save = result
    assert status == 2 and all(word in error for word in words), error
    assert not list(save.glob("*.pt"))


class Silent:
    """A criterion that logs nothing."""

    @staticmethod
    def reduce_metrics(logging_outputs):
        pass


def scoring(task_class):
    task = object.__new__(task_class)
    task.cfg = types.SimpleNamespace(eval_bleu=True)
    return task


class TestEmptyHypotheses:
    def test_are_0_bleu_and_training_goes_on(self, train):
        options = ("--eval-bleu", "--eval-bleu-args", EMPTY, "--best-checkpoint-metric", "bleu")
        status, errors, save = train(*options, "--maximize-best-checkpoint-metric")
        assert (status, errors) == (0, [])
        assert safe_load.load(save / "checkpoint_best.pt")["extra_state"]["val_loss"] == 0

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
    def test_count_as_in_the_whole_corpus(self, order):
        """Batches of one sentence, one of them empty, have the BLEU of the corpus of all sentences."""
        import sacrebleu
        from fairseq.logging import metrics
        from fairseq.tasks.translation import TranslationTask

        hypotheses, references = ["a b c d e f", "", "g h i j k"], ["a b c d e x", "l m n", "g h i j y"]
        task, criterion = scoring(TranslationTask), Silent()
        with metrics.aggregate(new_root=True) as logged:
            for i in order:
                score = sacrebleu.corpus_bleu([hypotheses[i]], [[references[i]]])
                output = {"_bleu_sys_len": score.sys_len, "_bleu_ref_len": score.ref_len, "ntokens": 1, "nsentences": 1}
                for n in range(4):
                    output[f"_bleu_counts_{n}"], output[f"_bleu_totals_{n}"] = score.counts[n], score.totals[n]
                task.reduce_metrics([output], criterion)
        whole = sacrebleu.corpus_bleu(hypotheses, [references]).score
        assert logged.get_smoothed_value("bleu") == pytest.approx(whole, abs=0.01)

    def test_a_training_batch_logs_no_bleu(self):
        from fairseq.logging import metrics
        from fairseq.tasks.translation import TranslationTask

        task, criterion = scoring(TranslationTask), Silent()
        with metrics.aggregate(new_root=True) as logged:
            task.reduce_metrics([{"ntokens": 1, "nsentences": 1}], criterion)
        assert "bleu" not in logged


class TestBestMetric:
    @pytest.mark.parametrize("metric", ["bleu", "losss"])
    def test_that_nothing_logs_is_refused_before_training(self, train, metric):
        options = ("--best-checkpoint-metric", metric, "--maximize-best-checkpoint-metric")
        is_refused(train(*options), f"--best-checkpoint-metric {metric}", "loss, num_updates, ppl", "--eval-bleu")

    @pytest.mark.parametrize(
        "options",
        [
            ("ppl",),
            ("nll_loss", "--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1"),
            ("ppl", "--eval-bleu", "--eval-bleu-args", EMPTY),
        ],
    )
    def test_that_is_logged_is_taken(self, train, options):
        status, errors, save = train("--best-checkpoint-metric", *options)
        assert (status, errors) == (0, []) and (save / "checkpoint_best.pt").exists()

    def test_of_a_criterion_of_the_users_own(self, train):
        from fairseq import criterions
        from fairseq.criterions.cross_entropy import CrossEntropyCriterion
        from fairseq.logging import metrics

        name = "cross_entropy_with_warmth"
        if name not in criterions.CRITERION_REGISTRY:

            @criterions.register_criterion(name)
            class Warm(CrossEntropyCriterion):
                @staticmethod
                def reduce_metrics(logging_outputs):
                    CrossEntropyCriterion.reduce_metrics(logging_outputs)
                    metrics.log_scalar("warmth", 1)

        options = ("--criterion", name, "--sentence-avg", "--best-checkpoint-metric")
        is_refused(train(*options, "cold"), "cold", "warmth")
        assert train(*options, "warmth")[:2] == (0, [])

    def test_asking_changes_no_training(self, letters, tmp_path, monkeypatch, capsys):
        weights = []
        for metric in ("loss", "ppl"):
            save = tmp_path / metric
            options = (*TINY, "--max-update", 3, "--save-dir", save, "--best-checkpoint-metric", metric)
            assert run("train", letters, *options, monkeypatch=monkeypatch, capsys=capsys) == (0, [])
            weights.append(safe_load.load(save / "checkpoint_last.pt")["model"])
        learned = [name for name in weights[0] if not name.endswith("_float_tensor")]  # an empty one, never filled
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in learned)

    def test_a_task_that_adds_values_is_asked_at_the_first_validation(self):
        trainer = types.SimpleNamespace(
            task=types.SimpleNamespace(post_validate=None),
            cfg=types.SimpleNamespace(dataset=types.SimpleNamespace(disable_validation=False)),
        )
        cfg = types.SimpleNamespace(best_checkpoint_metric="warmth", maximize_best_checkpoint_metric=False)
        assert best.check_before_training(lambda cfg, trainer: "loaded", cfg, trainer) == "loaded"
        stats = best.name_what_is_logged(lambda cfg, trainer, stats, first: stats, cfg, trainer, {"loss": 1}, True)
        with pytest.raises(WrongUse, match="--best-checkpoint-metric warmth: .* one of loss$"):
            stats["warmth"]
        assert stats["loss"] == 1

    def test_the_lowest_bleu_as_the_best_is_said(self, train, caplog):
        options = ("--eval-bleu", "--eval-bleu-args", EMPTY, "--best-checkpoint-metric", "bleu")
        with caplog.at_level(logging.WARNING, best.__name__):
            assert train(*options)[0] == 0
        assert "without --maximize-best-checkpoint-metric" in caplog.text


class TestDivergence:
    @pytest.mark.parametrize("precision", [(), ("--amp",)])
    def test_is_one_line(self, train, precision, caplog):
        with caplog.at_level(logging.INFO, "fairseq.nan_detector"):
            status, (error,), save = train(*DIVERGING, *precision)
        assert status == 1 and "training diverged after 1 updates" in error and "--lr" in error
        assert (save / "crash.pt").exists() and not (save / "checkpoint_last.pt").exists()
        seen = [record.getMessage() for record in caplog.records if record.name == "fairseq.nan_detector"]
        assert [line.partition(" ")[0] for line in seen] == ["NaN", "Detected", "norms:"]
        assert "output of encoder" in seen[0]

    def test_in_half_precision_on_a_cpu(self, train):
        """Updates are skipped while the scale of the loss is lowered to its minimum."""
        options = (*DIVERGING, "--memory-efficient-fp16", "--fp16-scale-window", "99", "--min-loss-scale", "30")
        status, (error,), _save = train(*options)
        assert status == 1 and "Minimum loss scale reached (30.0)" in error

    def test_disagreeing_processes_are_no_matter_of_the_learning_rate(self):
        trainer = types.SimpleNamespace(
            get_num_updates=lambda: 3, cfg=types.SimpleNamespace(checkpoint=types.SimpleNamespace(save_dir="x"))
        )
        seen = "Fatal error: gradients are inconsistent between workers. Try --ddp-backend=legacy_ddp. Or\n---\nrank 0"
        words = divergence.message(FloatingPointError(seen), trainer)
        assert "--ddp-backend=legacy_ddp" in words and "--lr" not in words and "\n" not in words

    def test_other_errors_of_an_update_stay_what_they_are(self):
        def step(self):
            raise KeyError("x")

        with pytest.raises(KeyError):
            divergence.say_what_diverged(step, None)

    def test_nan_of_a_validation_is_never_the_best(self, caplog):
        saved = []

        def save(cfg, trainer, epoch, loss):
            saved.append(loss)

        cfg = types.SimpleNamespace(best_checkpoint_metric="loss")
        trainer = types.SimpleNamespace(get_num_updates=lambda: 3)
        for loss in (0.5, float("nan"), None, 0.9):
            best.nan_is_not_the_best(save, cfg, trainer, None, loss)
        assert saved == [0.5, None, None, 0.9]
        assert caplog.text.count("loss is NaN") == 1

    def test_the_best_of_another_training_is_forgotten(self, train):
        from fairseq import checkpoint_utils
        from fairseq_cli import train as module

        checkpoint_utils.save_checkpoint.best = module.should_stop_early.best = -1.0
        status, errors, save = train("--patience", 2)
        assert (status, errors) == (0, []) and (save / "checkpoint_best.pt").exists()
        assert module.should_stop_early.best > 0


class TestOptions:
    @pytest.fixture
    def without_packages(self, monkeypatch):
        find = importlib.util.find_spec
        missing = ("iopath", "torch_xla")
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest)
        )

    def test_asynchronous_checkpoints_without_iopath(self, train, without_packages):
        is_refused(
            train("--write-checkpoints-asynchronously"), "--write-checkpoints-asynchronously", "iopath is not installed"
        )

    def test_all_problems_at_once(self, train, without_packages):
        bleu = ("--eval-bleu", "--eval-bleu-args", '{"beem": 4, "max_len_b": 0}')
        status, errors, save = train(
            "--write-checkpoints-asynchronously",
            "--tpu",
            "--max-epoch",
            "-1",
            "--required-batch-size-multiple",
            "0",
            *bleu,
        )
        assert status == 2 and not save.exists()
        for words, error in zip(
            ("iopath", "torch_xla", "--max-epoch -1", "multiple 0", "beem unknown", "below min_len 1"),
            errors,
            strict=True,
        ):
            assert words in error

    @pytest.mark.parametrize(
        "arguments, words", [('{"beam": 4', "not JSON"), ("[4]", "not a JSON object"), ("null", "object")]
    )
    def test_arguments_of_bleu(self, train, arguments, words):
        is_refused(train("--eval-bleu", "--eval-bleu-args", arguments), "--eval-bleu-args", arguments, words)

    def test_a_warm_up_that_starts_below_the_lowest_learning_rate(self, train):
        warm_up = ("--lr-scheduler", "inverse_sqrt", "--warmup-updates", 4, "--stop-min-lr", "1e-9")
        is_refused(train(*warm_up), "--stop-min-lr 1e-09", "learning rate 0", "--warmup-init-lr")

    def test_no_sentence_is_short_enough(self, train):
        is_refused(train("--max-tokens", "2"), "dataset is empty")
