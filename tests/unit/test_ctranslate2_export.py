"""What CTranslate2 computes with an export is what fairseq computes with the checkpoint."""

import json
import sys
from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel
from fairseq.sequence_generator import SequenceGenerator
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import REST
from tiny_models import HEADS, SHAPE, stock_attention

from dsp_fairseq import cli
from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.families import inventory_of
from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.structures.surgery import remove_units

ctranslate2 = pytest.importorskip("ctranslate2")

from dsp_fairseq.export import check, convert, requirement  # noqa: E402 (imports ctranslate2)
from dsp_fairseq.export.convert import export  # noqa: E402
from dsp_fairseq.families.transformer.export import spec  # noqa: E402

INVENTORY = transformer_inventory(2, 3, 3, 4, (8, 6))  # the shape of tiny_models
MASKS = {  # flat over 2 blocks of 3 heads, then 6 of 4
    "uneven": [0, 1, 0] + [1, 1, 1] + [1, 0, 0, 0] * 3 + [0, 1, 1, 0] + [0, 1, 1, 1] * 2,
    "empty blocks": [0, 0, 0] + [1, 0, 1] + [0, 0, 0, 0] + [1, 1, 0, 1] * 2 + [0, 0, 0, 0] + [0, 0, 1, 0] * 2,
    "at most one": [0, 1, 0] + [0, 0, 1] + [1, 0, 0, 0] * 3 + [0, 0, 0, 1] * 3,
    "nothing": [0] * HEADS,
    "everything": [1] * HEADS,
}
PRE_NORM = {"encoder_normalize_before": True, "decoder_normalize_before": True}
MAIN_VARIANTS = {
    "post-norm": {},
    "pre-norm": PRE_NORM,
    "shared embeddings": {"share_all_embeddings": True},
    "different widths": {"decoder_embed_dim": 16, "decoder_output_dim": 16, "decoder_input_dim": 16},
}
MORE_VARIANTS = {
    "pre-norm in the encoder": {"encoder_normalize_before": True},
    "pre-norm in the decoder, not at its end": {"decoder_normalize_before": True, "no_decoder_final_norm": True},
    "shared input and output": {"share_decoder_input_output_embed": True},
    "another output width": {"decoder_output_dim": 10},
    "embedding norm": {"layernorm_embedding": True},
    "learned positions": {"encoder_learned_pos": True, "decoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "unscaled embeddings": {"no_scale_embedding": True},
    "gelu": {"activation_fn": "gelu"},
    "gelu_accurate": {"activation_fn": "gelu_accurate"},
    "tanh": {"activation_fn": "tanh"},
    "layers left out in training": {"encoder_layerdrop": 0.1, "decoder_layerdrop": 0.1},
    "checkpointed activations": {"checkpoint_activations": True},
}
VARIANTS = {**MAIN_VARIANTS, **MORE_VARIANTS}


class Task:
    """Two dictionaries, of different sizes unless they are shared; ``folder`` is where they are saved."""

    def __init__(self, folder, shared):
        self.folder = folder
        self.source_dictionary = self._dictionary("de", 40)
        self.target_dictionary = self.source_dictionary if shared else self._dictionary("en", 30)
        self.target_dictionary.save(str(folder / "dict.en.txt"))

    def _dictionary(self, language, words):
        dictionary = Dictionary()
        for word in range(words):
            dictionary.add_symbol(f"{language}{word}@@" if word % 3 else f"{language}-{word}", words - word)
        dictionary.save(str(self.folder / f"dict.{language}.txt"))
        return dictionary


class Case:
    """A stock model in which heads are zeroed, and a gated checkpoint that masks the same ones."""

    def __init__(self, folder, variant="post-norm", mask=MASKS["uneven"], **more):
        self.folder, self.mask = folder, mask
        self.variant = {**SHAPE, **VARIANTS[variant], **more}
        folder.mkdir(exist_ok=True)
        self.task = Task(folder, shared=self.variant.get("share_all_embeddings", False))
        self.stock = noisy(self._build(TransformerModel))
        self.gated = self._build(GatedTransformerModel, pruning_method="none")
        self.gated.load_state_dict(self.stock.state_dict())
        self.gated.gates.set_logits(torch.tensor(mask, dtype=torch.float64))
        self.inventory = inventory_of(Namespace(**self.variant))
        for attention, piece in zip(stock_attention(self.stock), self.inventory.split(mask), strict=True):
            # [heads] -> [heads*d]
            attention.out_proj.weight.data *= torch.tensor(piece).repeat_interleave(attention.head_dim)

    def _build(self, model_class, **pruning):
        torch.manual_seed(0)
        return model_class.build_model(Namespace(**self.variant, **pruning), self.task).eval()

    def masked(self, **more):
        """The checkpoint as training writes it: all weights, and K."""
        options = {"pruning_method": "ste", "heads_to_keep": sum(self.mask), **more}
        return self._save("masked.pt", self.gated.state_dict(), "gated_transformer", options)

    def pruned(self, change=lambda tensor: tensor):
        """The checkpoint from which the masked heads are removed; ``change`` is applied to its weights."""
        after = self.inventory.keeping(self.mask)
        weights = remove_units(self.gated.state_dict(), self.inventory, after)
        weights = {name: tensor if "gates" in name else change(tensor) for name, tensor in weights.items()}
        options = {"pruning_method": "none", "heads_to_keep": None, "kept_heads": after.indices()}
        return self._save("pruned.pt", weights, "gated_transformer", options)

    def dense(self):
        return self._save("dense.pt", self.stock.state_dict(), "transformer", {})

    def _save(self, name, weights, arch, options):
        model = Namespace(**{**self.variant, "arch": arch, "_name": arch, **options})
        task = {"data": str(self.folder), "source_lang": "de", "target_lang": "en"}
        state = {"args": None, "cfg": {"model": model, "task": task}, "model": weights, **REST}
        torch.save(state, self.folder / name)
        return str(self.folder / name)

    def difference(self, out, count=5):
        """Largest difference of a score between the stock model and an export, over random sentences."""
        generator = torch.Generator().manual_seed(count)
        translator = ctranslate2.Translator(str(out), device="cpu", compute_type="float32")
        largest = 0.0
        for _ in range(count):
            length, other = torch.randint(1, 12, (2,), generator=generator).tolist()
            source = torch.randint(4, 44, (1, length), generator=generator)
            target = torch.randint(4, 34, (1, other), generator=generator)
            words = [symbols(self.task.source_dictionary, source), symbols(self.task.target_dictionary, target)]
            actual = translator.score_batch([words[0]], [words[1]])[0].log_probs
            expected = self._scores(source, target)
            assert len(actual) == len(expected) == other + 1
            largest = max(largest, float((torch.tensor(actual) - expected).abs().max()))
        return largest

    @torch.no_grad()
    def _scores(self, source, target):
        end = torch.tensor([[2]])
        source = torch.cat([source, end], 1)
        logits, _ = self.stock(source, torch.tensor([source.size(1)]), torch.cat([end, target], 1))
        probabilities = torch.softmax(logits, -1)[0]
        return torch.stack([p[word].log() for p, word in zip(probabilities, [*target[0], 2], strict=True)])


def noisy(model):
    """Biases and norms too, not their trivial start."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    for layer in model.encoder.layers:
        layer.can_use_fastpath = False
    return model


def symbols(dictionary, row):
    return [dictionary[int(number)] for number in row[0]]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "variant, mask",
    [(variant, mask) for variant in MAIN_VARIANTS for mask in MASKS]
    + [(variant, "empty blocks") for variant in MORE_VARIANTS],
)
def test_an_export_scores_as_the_masked_model(tmp_path, variant, mask):
    case = Case(tmp_path / "data", variant, MASKS[mask])
    done = export(case.masked(), str(tmp_path / "out"))
    assert case.difference(tmp_path / "out") < 1e-4
    assert done.difference < 1e-4
    assert done.after.sizes == case.inventory.keeping(case.mask).sizes


@settings(max_examples=8)
@given(mask=st.lists(st.booleans(), min_size=HEADS, max_size=HEADS), variant=st.sampled_from(list(MAIN_VARIANTS)))
def test_any_mask_can_be_exported(tmp_path_factory, mask, variant):
    folder = tmp_path_factory.mktemp("any")
    case = Case(folder / "data", variant, mask)
    export(case.masked(), str(folder / "out"))
    assert case.difference(folder / "out", count=2) < 1e-4


@pytest.mark.parametrize("variant", MAIN_VARIANTS)
@pytest.mark.parametrize("mask", ["empty blocks", "nothing"])
def test_a_pruned_checkpoint_gives_the_same_files_as_the_masked_one(tmp_path, variant, mask):
    case = Case(tmp_path / "data", variant, MASKS[mask])
    export(case.masked(), str(tmp_path / "masked"))
    export(case.pruned(), str(tmp_path / "pruned"))
    assert names(tmp_path / "masked") == names(tmp_path / "pruned")
    for path in (tmp_path / "masked").iterdir():
        assert path.read_bytes() == (tmp_path / "pruned" / path.name).read_bytes()


def test_half_precision_is_exported_in_full(tmp_path):
    case = Case(tmp_path / "data", mask=MASKS["empty blocks"])
    export(case.pruned(lambda tensor: tensor.half()), str(tmp_path / "out"))
    case.stock.half().float()
    assert case.difference(tmp_path / "out") < 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stock_checkpoint_is_exported(tmp_path, variant):
    case = Case(tmp_path / "data", variant, MASKS["everything"])
    done = export(case.dense(), str(tmp_path / "out"))
    assert case.difference(tmp_path / "out") < 1e-4
    assert done.before.units == done.after.units == HEADS


def test_k_chooses_the_most_important_of_the_heads_that_are_left(tmp_path):
    case = Case(tmp_path / "data", mask=MASKS["at most one"])
    case.gated.gates.set_logits(case.gated.gates.logits + 1 - torch.tensor(MASKS["uneven"]))  # 1 or 2 if kept
    both = [a and not b for a, b in zip(MASKS["at most one"], MASKS["uneven"], strict=True)]
    for name, checkpoint in (("masked", case.masked()), ("pruned", case.pruned())):
        done = export(checkpoint, str(tmp_path / name), heads_to_keep=sum(both))
        assert done.after.indices() == case.inventory.keeping(both).indices()
    assert (tmp_path / "masked" / "model.bin").read_bytes() == (tmp_path / "pruned" / "model.bin").read_bytes()


@pytest.mark.parametrize("heads_to_keep", [None, 5])
def test_the_cap_of_the_training_holds(tmp_path, heads_to_keep):
    logits = torch.randn(HEADS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    block_of = [number for number, size in enumerate(INVENTORY.sizes) for _ in range(size)]
    mask, cap = [0] * HEADS, 2
    for head in logits.argsort(descending=True).tolist():  # a slow loop: the best that still has room
        taken = sum(kept for kept, block in zip(mask, block_of, strict=True) if block == block_of[head])
        mask[head] = int(taken < cap and sum(mask) < (heads_to_keep or 11))
    case = Case(tmp_path / "data", mask=mask)
    case.gated.gates.set_logits(logits)
    checkpoint = case.masked(heads_to_keep=11, max_heads_per_block=cap)
    done = export(checkpoint, str(tmp_path / "out"), heads_to_keep=heads_to_keep)
    assert done.after.indices() == INVENTORY.keeping(mask).indices()
    assert case.difference(tmp_path / "out") < 1e-4


def test_the_file_holds_what_is_kept_and_the_padding_and_no_more(tmp_path):
    sizes = {}
    for mask in ("at most one", "nothing", "everything"):
        out = tmp_path / f"out {mask}"
        export(Case(tmp_path / mask, mask=MASKS[mask]).masked(), str(out))
        sizes[mask] = (out / "model.bin").stat().st_size
    # a head of the encoder: q, k, v [8, 24] and their biases, output [24, 8]; of the decoder: size 6
    head = {size: 4 * (3 * (size * 24 + size) + 24 * size) for size in (8, 6)}
    assert sizes["everything"] - sizes["at most one"] == 2 * 2 * head[8] + 6 * 3 * head[6]
    # empty blocks: width 1, and CTranslate2 writes equal arrays once
    assert sizes["at most one"] - sizes["nothing"] >= 2 * (head[8] * 7 // 8) + 6 * (head[6] * 5 // 6)


def speaking(case, end):
    """Give the words of a pre-norm model a bias: <pad> never, </s> ``end``."""
    for model in (case.stock, case.gated):
        norm, words = model.decoder.layer_norm, model.decoder.output_projection.weight.data
        norm.weight.data[0], norm.bias.data[0] = 0, 1  # its output's first number is always 1
        words[:, 0] = 0
        words[1, 0], words[2, 0] = -30, end
    return case


def sentences(count):
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(4, 44, (1, length), generator=generator) for length in range(1, count + 1)]


def fairseq_hypotheses(case, source, **options):
    """The best first, each with its words and the score of every word."""
    tokens = torch.cat([source, torch.tensor([[2]])], 1)
    search = SequenceGenerator([case.stock], case.task.target_dictionary, **options)
    batch = {"net_input": {"src_tokens": tokens, "src_lengths": torch.tensor([tokens.size(1)])}}
    return [
        (symbols(case.task.target_dictionary, found["tokens"][None, :-1]), found["positional_scores"][:-1])
        for found in search.generate([case.stock], batch)[0]
    ]


def ctranslate2_results(case, out, sources, **options):
    translator = ctranslate2.Translator(str(out), device="cpu", compute_type="float32")
    tokens = [symbols(case.task.source_dictionary, source) for source in sources]
    return translator.translate_batch(tokens, return_scores=True, **options)


@pytest.mark.parametrize("mask", ["uneven", "empty blocks", "at most one"])
def test_translations_are_those_of_fairseq(tmp_path, mask):
    case = speaking(Case(tmp_path / "data", "pre-norm", MASKS[mask]), end=2)
    export(case.masked(), str(tmp_path / "out"))
    results = ctranslate2_results(
        case, tmp_path / "out", sentences(8), beam_size=1, min_decoding_length=0, max_decoding_length=50
    )
    ours = [result.hypotheses[0] for result in results]
    options = {"beam_size": 1, "min_len": 0, "max_len_b": 50}
    assert ours == [fairseq_hypotheses(case, source, **options)[0][0] for source in sentences(8)]
    assert len({len(words) for words in ours}) > 3  # most come to an end by themselves


@pytest.mark.parametrize("mask", ["uneven", "empty blocks", "at most one"])
def test_beam_search_is_that_of_fairseq(tmp_path, mask):
    """The same four hypotheses and scores, at a length given: when to stop is the search's business."""
    case = speaking(Case(tmp_path / "data", "pre-norm", MASKS[mask]), end=-30)
    export(case.masked(), str(tmp_path / "out"))
    results = ctranslate2_results(
        case, tmp_path / "out", sentences(6), beam_size=4, num_hypotheses=4,
        min_decoding_length=10, max_decoding_length=10,
    )  # fmt: skip
    for source, result in zip(sentences(6), results, strict=True):
        theirs = fairseq_hypotheses(case, source, beam_size=4, min_len=10, max_len_b=10)
        theirs = {tuple(words): float(scores.mean()) for words, scores in theirs}
        ours = dict(zip(map(tuple, result.hypotheses), result.scores, strict=True))
        assert len(theirs) == 4 and ours == pytest.approx(theirs, abs=1e-4)


# without VNNI the runtime's sums of int8 products saturate at 16 bits: 2.0 there, 0.13 with it
@pytest.mark.parametrize("quantization, bytes_per_weight, close", [("int8", 1, 5), ("float16", 2, 0.1)])
def test_quantised_exports_are_smaller_and_close(tmp_path, quantization, bytes_per_weight, close):
    case = Case(tmp_path / "data", mask=MASKS["empty blocks"])
    done = export(case.masked(), str(tmp_path / "out"), quantization)
    full = export(case.masked(), str(tmp_path / "full"))
    assert case.difference(tmp_path / "full") < 1e-4  # quantising leaves the weights alone
    assert 0 < done.quantised_difference < close and done.difference == full.difference
    assert full.quantised_difference is None
    sizes = [(tmp_path / out / "model.bin").stat().st_size for out in ("out", "full")]
    assert bytes_per_weight / 4 <= sizes[0] / sizes[1] < bytes_per_weight / 4 + 0.45  # norms and names stay


def test_quantising_leaves_the_model_alone(tmp_path):
    case = Case(tmp_path / "data")
    words = case.task.source_dictionary.symbols, case.task.target_dictionary.symbols
    before = {name: tensor.clone() for name, tensor in case.stock.state_dict().items()}
    spec.specification(case.stock, case.stock.state_dict(), INVENTORY, *words).optimize("int8")
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in case.stock.state_dict().items() if "_float" not in name
    )


def test_files_of_pretrained_embeddings_are_not_needed(tmp_path):
    case = Case(tmp_path / "data")
    case.variant.update(encoder_embed_path="gone.txt", decoder_embed_path="gone.txt")
    export(case.masked(), str(tmp_path / "out"))
    assert case.difference(tmp_path / "out") < 1e-4


@pytest.mark.parametrize("variant", ["post-norm", "shared embeddings"])
def test_vocabularies_and_configuration(tmp_path, variant):
    case = Case(tmp_path / "data", variant)
    export(case.masked(), str(tmp_path / "out"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["decoder_start_token"] == "</s>" and config["add_source_eos"] and not config["add_source_bos"]
    sides = ["shared", "shared"] if variant == "shared embeddings" else ["source", "target"]
    vocabularies = {f"{side}_vocabulary.json" for side in sides}
    assert names(tmp_path / "out") == sorted({"config.json", "model.bin", *vocabularies})
    for side, dictionary in zip(sides, (case.task.source_dictionary, case.task.target_dictionary), strict=True):
        words = json.loads((tmp_path / "out" / f"{side}_vocabulary.json").read_text())
        assert words == ["<s>", "<blank>", *dictionary.symbols[2:]]


def test_what_is_printed(tmp_path, capsys):
    case = Case(tmp_path / "data", mask=MASKS["empty blocks"])
    out = tmp_path / "out"
    assert cli.main(["export", "ctranslate2", case.masked(), str(out), "--quantization", "int8"]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["encoder.self.0", "3 => 0", "output bias only"] in rows
    assert ["decoder.cross.1", "4 => 1", "3"] in rows
    assert "heads: 30 => 10 of 30, written: 2 per block of the encoder, 3 per block of the decoder" in printed
    total = sum(path.stat().st_size for path in out.iterdir())
    assert f" => {total:,} bytes (int8)" in printed
    usage = [line.strip() for line in printed.splitlines() if line.startswith("    ")]
    assert len(usage) == 3
    exec("\n".join(usage))
    assert capsys.readouterr().out.startswith("[")


def lines_of_refusal(capsys, arguments, code=2):
    assert cli.main(["export", "ctranslate2", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert not captured.out
    lines = captured.err.splitlines()
    assert all(line.startswith("dsp-fairseq export: ") for line in lines)
    return lines


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path / "data", mask=MASKS["empty blocks"])


def test_options_without_a_counterpart_are_refused_all_at_once(case, tmp_path, capsys):
    case.variant.update(adaptive_softmax_cutoff="8", encoder_xformers_att_config="8", quant_noise_pq=0.8)
    case.variant.update(activation_fn="linear")
    command = [case.dense(), tmp_path / "out", "--heads-to-keep", 31, "--data", tmp_path / "no"]
    lines = lines_of_refusal(capsys, command)
    expected = ["--adaptive-softmax-cutoff 8", "--encoder-xformers-att-config 8", "--quant-noise-pq 0.8"]
    expected += ["--activation-fn linear", "--heads-to-keep 31", "no: does not exist"]
    assert len(lines) == len(expected)
    for words in expected:
        assert [line for line in lines if words in line], words
    assert names(tmp_path) == ["data"]


def test_models_of_another_kind_are_refused(case, tmp_path, capsys):
    lines = lines_of_refusal(capsys, [case._save("lstm.pt", {}, "lstm", {}), tmp_path / "out"])
    assert len(lines) == 1 and "is of lstm" in lines[0] and "gated_transformer" in lines[0]


def test_k_of_a_stock_model_is_refused(case, tmp_path, capsys):
    lines = lines_of_refusal(capsys, [case.dense(), tmp_path / "out", "--heads-to-keep", 3])
    assert len(lines) == 1 and "--heads-to-keep 3" in lines[0] and "stock transformer" in lines[0]


def test_a_missing_checkpoint_is_told(tmp_path, capsys):
    lines = lines_of_refusal(capsys, [tmp_path / "nothing.pt", tmp_path / "out"])
    assert len(lines) == 1 and "nothing.pt" in lines[0]


def test_dictionaries_are_found_elsewhere_with_data(case, tmp_path, capsys):
    checkpoint = case.masked()
    moved = tmp_path / "moved"
    moved.mkdir()
    for language in ("de", "en"):
        (case.folder / f"dict.{language}.txt").rename(moved / f"dict.{language}.txt")
    lines = lines_of_refusal(capsys, [checkpoint, tmp_path / "out"])
    assert len(lines) == 2 and all("--data DIR" in line for line in lines)
    assert "dict.de.txt" in lines[0] and "dict.en.txt" in lines[1]
    assert not (tmp_path / "out").exists()
    export(checkpoint, str(tmp_path / "out"), data=str(moved))
    assert case.difference(tmp_path / "out") < 1e-4


@pytest.mark.parametrize(
    "content, words",
    [
        ("de-0 1\n", ["has 5 words, but the encoder of the checkpoint has 44", "--data DIR"]),
        ("de-0\n", ["Incorrect dictionary format"]),
        ("de-0 1\nde-0 1\n", ["Duplicate word"]),
        ("".join(f"w{i} 1\n" for i in range(39)) + "<blank> 1\n", ["<blank>"]),
        ("".join(f"w{i} 1\n" for i in range(39)) + "w3 1 #fairseq:overwrite\n", ["twice"]),
        ("\udce4 1\n", ["Incorrect encoding"]),
    ],
)
def test_dictionaries_that_do_not_fit_are_refused(case, tmp_path, capsys, content, words):
    checkpoint = case.masked()
    (case.folder / "dict.de.txt").write_bytes(content.encode("utf-8", "surrogateescape"))
    lines = lines_of_refusal(capsys, [checkpoint, tmp_path / "out"])
    assert len(lines) == 1 and "dict.de.txt" in lines[0]
    assert all(part in lines[0] for part in words)


def test_languages_that_training_was_not_told(tmp_path, capsys):
    """fairseq finds them in the names of the data; where there are none, a joined dictionary will do."""
    shared = Case(tmp_path / "shared", "shared embeddings")
    other = Case(tmp_path / "other")
    for case in (shared, other):
        state = load(str(case.masked()))
        state["cfg"]["task"].update(source_lang=None, target_lang=None)
        torch.save(state, case.folder / "untold.pt")
    export(str(shared.folder / "untold.pt"), str(tmp_path / "a"))
    lines = lines_of_refusal(capsys, [other.folder / "untold.pt", tmp_path / "b"])
    assert len(lines) == 1 and "languages" in lines[0] and "--data DIR" in lines[0]
    (other.folder / "train.de-en.de.idx").touch()
    export(str(other.folder / "untold.pt"), str(tmp_path / "b"))
    assert other.difference(tmp_path / "b") < 1e-4


def test_out_is_never_overwritten_unless_asked(case, tmp_path, capsys):
    checkpoint, out = case.masked(), tmp_path / "out"
    export(checkpoint, str(out))
    before = (out / "model.bin").stat()
    lines = lines_of_refusal(capsys, [checkpoint, out])
    assert len(lines) == 1 and "--force" in lines[0]
    assert (out / "model.bin").stat() == before
    assert cli.main(["export", "ctranslate2", checkpoint, str(out), "--force", "--quantization", "int8"]) == 0
    assert (out / "model.bin").stat().st_size < before.st_size
    assert names(tmp_path) == ["data", "out"]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_no_export_is_never_replaced(case, tmp_path, capsys, force):
    checkpoint = case.masked()
    (tmp_path / "file").write_text("mine")
    for out, words in ((tmp_path / "file", "is a file"), (case.folder, "exists" if not force else "dict.de.txt")):
        lines = lines_of_refusal(capsys, [checkpoint, out, *force])
        assert len(lines) == 1 and words in lines[0]
    lines = lines_of_refusal(capsys, [checkpoint, tmp_path / "no" / "out", *force])
    assert len(lines) == 1 and "make it first" in lines[0]
    assert names(case.folder) == ["dict.de.txt", "dict.en.txt", "masked.pt"]
    assert (tmp_path / "file").read_text() == "mine"


def test_through_a_link_the_folder_it_names_is_replaced(case, tmp_path):
    checkpoint = case.masked()
    export(checkpoint, str(tmp_path / "real"))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export(checkpoint, str(tmp_path / "link"), "int8", force=True)
    assert (tmp_path / "link").is_symlink() and case.difference(tmp_path / "real") < 1
    assert names(tmp_path) == ["data", "link", "real"]


def broken_scale(block, self_attention, original=spec._attention):
    spec = original(block, self_attention)
    spec.queries_scale *= 2
    return spec


def interrupt(*_):
    raise KeyboardInterrupt


def fail(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    "module, name, replacement, code, words",
    [
        (spec, "_attention", broken_scale, 1, "differ from fairseq's"),
        (convert, "check_quantised", interrupt, 130, "interrupted, nothing written"),
        (convert, "check_quantised", fail, 1, "no space left"),
        (check.Exported, "translates", lambda *_: False, 1, "does not translate, so nothing was written"),
    ],
)
def test_failures_leave_nothing_behind(
    case, tmp_path, capsys, monkeypatch, module, name, replacement, code, words, existing
):
    checkpoint, out = case.masked(), tmp_path / "out"
    if existing:
        export(checkpoint, str(out))
    before = {path.name: path.read_bytes() for path in out.iterdir()} if existing else None
    monkeypatch.setattr(module, name, replacement)
    lines = lines_of_refusal(capsys, [checkpoint, out, "--quantization", "int8", "--force"], code)
    assert len(lines) == 1 and words in lines[0]
    assert names(tmp_path) == (["data", "out"] if existing else ["data"])
    if existing:
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_old_export_comes_back_when_it_cannot_be_replaced(case, tmp_path, monkeypatch):
    checkpoint, out = case.masked(), tmp_path / "out"
    export(checkpoint, str(out))
    before = (out / "model.bin").read_bytes()
    rename, calls = convert.os.rename, []

    def second_fails(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise OSError("no more")
        rename(*paths)

    monkeypatch.setattr(convert.os, "rename", second_fails)
    with pytest.raises(OSError, match="no more"):
        export(checkpoint, str(out), "int8", force=True)
    assert (out / "model.bin").read_bytes() == before
    assert names(tmp_path) == ["data", "out"]


def test_an_export_that_cannot_be_loaded_is_a_failure(case, tmp_path, monkeypatch):
    save = spec.TransformerSpec.save

    def cut_off(spec, folder):
        save(spec, folder)
        with open(f"{folder}/model.bin", "r+b") as file:
            file.truncate(1000)

    monkeypatch.setattr(spec.TransformerSpec, "save", cut_off)
    with pytest.raises(Failed, match="cannot load"):
        export(case.masked(), str(tmp_path / "out"))
    assert names(tmp_path) == ["data"]


def test_without_ctranslate2_one_line_says_how_to_get_it(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    lines = lines_of_refusal(capsys, [case.masked(), tmp_path / "out"])
    assert len(lines) == 1 and "pip install ctranslate2" in lines[0]


def test_a_ctranslate2_without_head_sizes_is_refused(monkeypatch):
    class OldSpec:
        def __init__(self, self_attention=False):
            pass

    monkeypatch.setattr(sys.modules["ctranslate2.specs.attention_spec"], "MultiHeadAttentionSpec", OldSpec)
    with pytest.raises(BadInput, match="pip install -U ctranslate2"):
        requirement.require_ctranslate2()
