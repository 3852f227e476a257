"""examples/iwslt14 and examples/wmt: the whole recipe on tiny data and models, and what --dry-run says of the rest."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
from console import PROJECT
from corpus_archives import environment, lines, make_archive
from corpus_archives import prepare as prepare_script

from dsp_fairseq.checkpoints.reading import kept_units

IWSLT, WMT = (PROJECT / "examples" / name / "train.sh" for name in ("iwslt14", "wmt"))
TINY = shlex.split(
    "--encoder-layers 2 --decoder-layers 2 --encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 32 "
    "--decoder-ffn-embed-dim 32 --lr 1e-2 --warmup-updates 10 --dropout 0 --max-tokens 400 --num-workers 0"
)
pytestmark = pytest.mark.usefixtures("quick_commands")
SHORT = ["--max-update", "12", "--validate-interval", "3", "--save-interval", "3"]


def recipe(script, *words, **extra):
    return subprocess.run(
        ["bash", *map(str, (script, *words))],
        check=False,
        cwd=PROJECT,
        env=environment(OMP_NUM_THREADS="1", **extra),
        capture_output=True,
        text=True,
        timeout=900,
    )


def succeed(*words, **extra):
    done = recipe(*words, **extra)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(script, *words, **extra):
    """{stage: command lines as lists of words} of --dry-run"""
    stages, found = [], {}
    for line in succeed(script, "--dry-run", *words, **extra).splitlines():
        if line.startswith("# "):
            stages.append(line[2:])
            continue
        found.setdefault(stages[-1], []).append(shlex.split(line))
    return found


def value(command, option, last=True):
    """of an option that may be given twice, when the last counts"""
    places = [place for place, word in enumerate(command) if word == option]
    return command[places[-1 if last else 0] + 1]


# --- real trainings -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """As scripts/prepare-iwslt14.sh leaves it."""
    folder = tmp_path_factory.mktemp("recipes")
    archive = make_archive(folder / "source")
    done = prepare_script("prepare-iwslt14.sh", folder / "data", "--subwords", "120", IWSLT14_ARCHIVE=archive)
    assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture(scope="module")
def joint(prepared):
    """8 of 24 heads, trained by two processes; the folder of the run, and what was said"""
    said = succeed(IWSLT, 8, "--out", prepared, "--cpu", "--gpus", 2, "--no-bench", "--", *TINY, *SHORT)
    return prepared / "runs" / "dsp-8-seed1", said


def heads(checkpoint):
    return int(kept_units(str(checkpoint)).mask.sum())


def test_from_the_archive_to_an_exported_model(prepared, joint):
    run, said = joint
    assert heads(run / "model.pt") == heads(run / "checkpoint_last.pt") == 8
    assert (run / "model.pt").stat().st_size < (run / "checkpoint_best.pt").stat().st_size / 3
    assert "'distributed_world_size': 2" in (run / "train.out").read_text()
    assert len(lines(run / "texts" / "hyp")) == len(lines(prepared / "raw" / "test.en"))
    assert re.search(r"BLEU, detokenised: BLEU\|nrefs:1\|case:lc\|.*tok:13a\|", said)
    assert re.search(r"BLEU, tokenised: BLEU\|nrefs:1\|case:mixed\|.*tok:none\|", said)
    assert (run / "ctranslate2").exists() or "CTranslate2 is not installed" in said


def test_what_is_finished_is_skipped_and_other_flags_are_refused(prepared, joint, tmp_path):
    same = ("--out", prepared, "--cpu", "--gpus", 1, "--no-bench", "--", *TINY, *SHORT)  # GPUs: another number
    said = succeed(IWSLT, 8, *same, PATH=fake_tools(tmp_path, "python"))
    assert said.count("done before, skipped") >= 6 and "epoch" not in said
    done = recipe(IWSLT, 8, *same, "--dropout", "0.1")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "other flags" in done.stderr


def test_choosing_heads_of_a_trained_model_and_training_on(prepared, joint, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    (data / "runs" / "dsp-8-seed1").rename(data / "runs" / "all-seed1")  # any trained model
    quick = {"PATH": fake_tools(tmp_path, "fairseq-generate", "python"), "REFERENCE": data / "subwords" / "test.en"}
    options = ("--pipelined", "--tune", 1, "--out", data, "--cpu", "--no-bench", "--", *TINY)
    succeed(IWSLT, 5, "--method", "dsp-published", *options, **quick)
    chosen, tuned = (data / "runs" / f"dsp-published-pipelined-5-seed1{end}" for end in ("", "-tuned1"))
    assert heads(chosen / "model.pt") == heads(tuned / "model.pt") == 5
    kept = [kept_units(str(run / "model.pt")).inventory.indices() for run in (chosen, tuned)]
    assert kept[0] == kept[1]
    assert " = 100.00 " in (tuned / "bleu-tokenised.txt").read_text()


# --- with stand-ins for the slow commands ---------------------------------------------------------------------------

FAKES = {
    "fairseq-train": 'while [ "$1" != --save-dir ]; do shift; done; cd "$2"; '
    "touch checkpoint_last.pt checkpoint_best.pt checkpoint_1_500.pt checkpoint_2_{1000,1500,2000,2500,3000}.pt",
    "dsp-fairseq": 'echo "$@" >>"$CALLS"; case $1 in average | prune) touch "$3" ;; export) mkdir "$4" ;; esac',
    # the references as hypotheses, in another order, as fairseq-generate prints them
    "fairseq-generate": '[ -e "$REFERENCE" ] || exit 1; sed \'s/@@ //g\' "$REFERENCE" | '
    'awk \'{ print "H-" NR - 1 "\\t-0.5\\t" $0 }\' | tac',
    # summary.py; no CTranslate2 where CALLS do not wait for it
    "python": '[ "${2:-}" != --follow ] || cat >"$3"; [ "$1" != -c ] || [ -n "${CALLS:-}" ]',
}


def fake_tools(folder, *names):
    """PATH with these commands replaced; the pythons of the shebangs of all others stay"""
    (folder / "bin").mkdir()
    for name in names:
        tool = folder / "bin" / name
        tool.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{FAKES[name]}\n")
        tool.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{environment()['PATH']}"


def with_fakes(folder, reference):
    return {"PATH": fake_tools(folder, *FAKES), "CALLS": folder / "calls", "REFERENCE": reference}


GERMAN = 'Der Café-Liebhaber Nr. {} sagt "ja".'
GERMAN_BPE = "Der Café-@@ Lieb@@ haber Nr. {} sagt &quot; ja &quot; ."


@pytest.fixture
def google(tmp_path):
    """As scripts/prepare-wmt16ende.sh leaves Google's archive, in which there is no text before tokenisation."""
    out = tmp_path / "wmt data"
    for folder in ("data-bin", "raw"):
        (out / folder).mkdir(parents=True)
    (out / "settings").write_text("corpus=google source=en target=de units=bpe subwords=32000 \n")
    (out / "raw" / "test.de").write_text("".join(GERMAN_BPE.format(n) + "\n" for n in range(12)))
    (tmp_path / "references").write_text("".join(GERMAN.format(n) + "\n" for n in range(12)))
    return out


def test_wmt_averages_scores_three_ways_and_does_what_a_dry_run_shows(google, tmp_path):
    words = (WMT, 20, "--out", google, "--reference", tmp_path / "references")
    fakes = with_fakes(tmp_path, google / "raw" / "test.de")
    shown = commands(*words, **fakes)
    said = succeed(*words, **fakes)
    run = google / "runs" / "dsp-20-seed1"
    for score, tokens in (("detokenised", "13a"), ("tokenised", "none"), ("compounds", "none")):
        assert re.search(rf"BLEU, {score}: BLEU\|.*case:mixed\|.*tok:{tokens}\|.* = 100\.00 ", said), said
    assert lines(run / "texts" / "hyp.compounds")[3].split()[:5] == ["Der", "Café", "##AT##-##AT##", "Liebhaber", "Nr."]
    called = [line.replace(".partial", "") for line in lines(tmp_path / "calls")]
    done = [line for line in called if line != "user-dir"]  # whether the environment is of this checkout
    last = [f"{run}/checkpoint_2_{update}.pt" for update in (1000, 1500, 2000, 2500, 3000)]
    assert done[0] == f"average --out {run}/averaged.pt {' '.join(last)}"
    for line, stage in zip(done[1:], ("prune", "export", "bench"), strict=True):
        words = shown[stage][0][1:]
        assert line == " ".join(words[: words.index(">" + str(run / "bench.txt"))] if stage == "bench" else words)


def test_iwslt_is_scored_in_lower_case(prepared, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(prepared, data, ignore=shutil.ignore_patterns("runs"))
    said = succeed(IWSLT, 20, "--out", data, **with_fakes(tmp_path, data / "subwords" / "test.en"))
    assert re.search(r"BLEU, detokenised: BLEU\|.*case:lc\|.*tok:13a\|.* = 100\.00 ", said), said
    assert re.search(r"BLEU, tokenised: BLEU\|.*case:mixed\|.*tok:none\|.* = 100\.00 ", said)
    assert "compounds" not in said


def test_a_failed_stage_leaves_no_result_and_the_next_run_goes_on_from_there(google, tmp_path):
    fakes = with_fakes(tmp_path, google / "raw" / "gone.de")
    done = recipe(WMT, 20, "--out", google, "--reference", tmp_path / "references", **fakes)
    run = google / "runs" / "dsp-20-seed1"
    assert done.returncode == 1 and "stage decode failed" in done.stderr
    assert (run / "model.pt").exists() and not list(run.glob("generate*"))
    fakes["REFERENCE"] = google / "raw" / "test.de"
    said = succeed(WMT, 20, "--out", google, "--reference", tmp_path / "references", **fakes)
    assert said.count("done before, skipped") == 3  # train, average, prune


# --- what --dry-run says of the rest --------------------------------------------------------------------------------


def training(script, *words, **extra):
    return commands(script, *words, **extra)["train"][0]


@pytest.mark.parametrize(
    "script, options, processes, tokens",
    [
        (IWSLT, [], 1, 4096),
        (IWSLT, ["--gpus", "4"], 4, 4096),
        (IWSLT, ["--max-tokens", "1500"], 1, 4096),
        (WMT, [], 1, 28672),
        (WMT, ["--gpus", "3"], 3, 28672),
        (WMT, ["--gpus", "8"], 8, 28672),
        (WMT, ["--gpus", "8", "--nodes", "2", "--master", "a:1"], 16, 28672),
        (WMT, ["--big", "--gpus", "8"], 8, 458752),
        (WMT, ["--big", "--gpus", "8", "--nodes", "2", "--master", "a:1"], 16, 458752),
    ],
)
def test_an_update_has_the_same_size_on_any_number_of_gpus(script, options, processes, tokens):
    command = training(script, "all", *options)
    at_a_time, frequency = int(value(command, "--max-tokens")), int(value(command, "--update-freq"))
    assert 0 <= tokens - processes * frequency * at_a_time < processes * frequency  # but for rounding
    assert at_a_time <= (1500 if "--max-tokens" in options else 4096 if script == IWSLT else 3584)
    told = f"# at most {processes * frequency * at_a_time} tokens an update: {processes} x "
    assert told in succeed(script, "all", *options, "--dry-run")


def test_one_gpu_is_one_process_and_several_are_started_by_torchrun():
    one = training(WMT, "all")
    assert one[0] == "fairseq-train" and value(one, "--distributed-world-size") == "1"
    several = training(WMT, "all", "--gpus", 4)
    assert several[:5] == ["torchrun", "--standalone", "--nproc_per_node", "4", "fairseq-train"]
    assert value(several, "--ddp-backend") == "legacy_ddp" and "--distributed-world-size" not in several
    machines = training(WMT, "all", "--gpus", 4, "--nodes", 3, "--node-rank", 2, "--master", "node1:29500")
    assert machines[:9] == shlex.split(
        "torchrun --nnodes 3 --node_rank 2 --rdzv_endpoint node1:29500 --nproc_per_node 4"
    )


def test_only_the_first_machine_does_more_than_training():
    machines = ("--nodes", 2, "--master", "a:1")
    assert set(commands(WMT, 20, *machines, "--node-rank", 1)) == {"train"}
    assert {"train", "average", "decode", "export"} <= set(commands(WMT, 20, *machines, "--node-rank", 0))


def test_published_settings():
    joint = training(IWSLT, 24, "--method", "dsp-published")
    assert [value(joint, f"--{name}") for name in ("max-epoch", "lr", "cooldown-updates", "pruning-lr")] == [
        "60", "5e-4", "15000", "0.2",
    ]  # fmt: skip
    pipelined = training(IWSLT, 24, "--method", "dsp-published", "--pipelined")
    assert value(pipelined, "--pruning-mode") == "pipelined"
    assert value(pipelined, "--finetune-from-model").endswith("runs/all-seed1/checkpoint_last.pt")
    assert [value(pipelined, f"--{name}") for name in ("max-epoch", "cooldown-updates")] == ["1", "250"]
    big = training(WMT, 96, "--big")
    assert value(big, "--arch") == "gated_transformer_vaswani_wmt_en_de_big" and "--fp16" in big
    assert "--fp16" not in training(WMT, 96, "--big", "--cpu")
    voita = training(WMT, 106, "--method", "l0", "--tune", 3, "--", "--l0-penalty", "0.02")
    assert (value(voita, "--prunable"), value(voita, "--frozen")) == ("encoder.self", "decoder")
    assert value(voita, "--finetune-from-model").endswith("all-seed1/averaged.pt")


def test_flags_after_the_dashes_win():
    assert training(IWSLT, 24, "--", "--max-epoch", "3", "--lr", "1")[-4:] == ["--max-epoch", "3", "--lr", "1"]


def test_text_in_sentence_pieces_is_scored_untokenised(tmp_path):
    (tmp_path / "data-bin").mkdir()
    settings = "corpus=iwslt14 source=de target=en units=sentencepiece subwords=100 lower-case=yes\n"
    (tmp_path / "settings").write_text(settings)
    stages = commands(IWSLT, 24, "--out", tmp_path)
    assert not any("sacremoses" in line for line in stages["texts"]) and "bleu-tokenised" not in stages
    decode = stages["decode"][0]
    assert value(decode, "--remove-bpe") == value(stages["train"][0], "--eval-bleu-remove-bpe") == "sentencepiece"


def test_the_commands_of_the_pages_are_right():
    pages = "".join(path.with_name("README.md").read_text(encoding="utf-8") for path in (IWSLT, WMT))
    found = re.findall(r"bash examples/(\w+)/train.sh ([^#`\n]+)", pages)
    assert len(found) > 15
    for corpus, words in found:
        options, dashes, flags = words.partition(" -- ")
        succeed(IWSLT if corpus == "iwslt14" else WMT, *shlex.split(f"{options} --dry-run{dashes}{flags}"))


def test_the_slurm_file_says_what_train_sh_says(tmp_path):
    for name, text in (("scontrol", "echo node7; echo node8"), ("srun", 'shift; exec "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"NODELIST": "node[7-8]", "NUM_NODES": 2, "ID": 123456}
    job = {"SLURM_GPUS_ON_NODE": 4, **{f"SLURM_JOB_{name}": value for name, value in job.items()}}
    path = f"{tmp_path}{os.pathsep}{environment()['PATH']}"
    words = ("96", "--big", "--dry-run", "--", "--seed", "3")
    for rank in (0, 1):
        said = succeed(WMT.with_name("train.sbatch"), *words, **job, SLURM_NODEID=rank, PATH=path)
        machines = ("--gpus", 4, "--nodes", 2, "--node-rank", rank, "--master", "node7:23456")
        assert said == succeed(WMT, *machines, *words)
    done = recipe(WMT.with_name("train.sbatch"), *words)
    assert done.returncode == 2 and "sbatch" in done.stderr


@pytest.mark.parametrize(
    "script, words, told",
    [
        (IWSLT, [], ["K"]),
        (IWSLT, ["many"], ["many", "all"]),
        (IWSLT, ["24", "25"], ["24", "25"]),
        (IWSLT, ["24", "--big"], ["--big", "--help"]),
        (IWSLT, ["24", "--method", "magic"], ["--method magic", "dsp-published"]),
        (IWSLT, ["all", "--pipelined"], ["all", "--pipelined"]),
        (IWSLT, ["24", "--method", "uniform", "--pipelined"], ["--pipelined", "uniform"]),
        (IWSLT, ["24", "--tune", "2"], ["--tune 2", "--pipelined"]),
        (IWSLT, ["24", "--method", "l0"], ["--method l0", "--tune"]),
        (IWSLT, ["24", "--gpus", "0"], ["--gpus 0"]),
        (IWSLT, ["24", "--gpus", "5000"], ["--gpus 5000", "4096"]),
        (WMT, ["24", "--nodes", "2"], ["--master", "--nodes 2"]),
        (WMT, ["24", "--nodes", "2", "--node-rank", "2", "--master", "a:1"], ["--node-rank 2", "0 to 1"]),
        (WMT, ["24", "--reference", "nowhere"], ["--reference nowhere"]),
        (WMT, ["24", "--out", "nowhere"], ["nowhere/data-bin", "prepare-wmt16ende.sh"]),
        (IWSLT, ["24", "--seed", "one"], ["--seed one"]),
    ],
)
def test_wrong_use_is_one_line(script, words, told):
    done = recipe(script, *words)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in told), done.stderr


def test_data_of_another_recipe_and_a_missing_unpruned_model_are_refused(google):
    done = recipe(IWSLT, 24, "--out", google)
    assert done.returncode == 2 and "google" in done.stderr and "iwslt14" in done.stderr
    done = recipe(WMT, 24, "--big", "--pipelined", "--out", google)
    assert done.returncode == 2 and "train.sh all --big --seed 1" in done.stderr
