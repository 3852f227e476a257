"""Only what was written is read: checksums, sizes, kinds of tensors, and what keeps a sound file from being read."""

import io
import zipfile

import pytest
import torch
from fairseq import checkpoint_utils
from tiny_checkpoints import masked_checkpoint

from dsp_fairseq.checkpoints.average import average
from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.cli import main
from dsp_fairseq_startup import checkpoints
from dsp_fairseq_startup.checkpoints import safe_load
from dsp_fairseq_startup.errors import BadCheckpoint, CannotRead


def packed_again(path, method=zipfile.ZIP_DEFLATED, **changed):
    """The parts of a checkpoint in another archive, as a zip tool packs them; some of them, by their names, changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, changed.get(name.rpartition("/")[2].replace(".", "_"), content))
    return path


@pytest.fixture
def path(tmp_path):
    torch.save(masked_checkpoint(), tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def refused(path, read=load):
    with pytest.raises(BadCheckpoint) as refusal:
        read(str(path))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_checkpoint_that_was_packed_again_has_the_same_weights(path, tmp_path, method):
    before = {name: tensor.clone() for name, tensor in load(str(path))["model"].items()}
    packed_again(path, method)
    after = load(str(path))["model"]
    assert all(torch.equal(before[name], after[name]) for name in before if "_float" not in name)
    average([str(path), str(path)], str(tmp_path / "mean.pt"))
    mean = load(str(tmp_path / "mean.pt"))["model"]
    assert all(torch.allclose(before[name], mean[name]) for name in before if "_float" not in name)


@pytest.mark.parametrize("change, mapped", [(lambda path: path, True), (packed_again, False)])
def test_only_what_is_not_compressed_is_mapped(path, monkeypatch, change, mapped):
    asked = []
    original = safe_load.load

    def noted(file, **options):
        asked.append(options["mmap"])
        return original(file, **options)

    monkeypatch.setattr(safe_load, "load", noted)
    load(str(change(path)))
    assert asked == [mapped]


@pytest.mark.parametrize("read", [load, checkpoint_utils.load_checkpoint_to_cpu])
def test_a_flipped_bit_of_any_part_is_told(path, read):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = [part for part in archive.infolist() if part.file_size and "/data" in part.filename]
    for part in parts[:: len(parts) // 12]:
        place = content.index(part.filename.encode(), part.header_offset) + len(part.filename)
        extra_field = int.from_bytes(content[part.header_offset + 28 :][:2], "little")
        place += extra_field + part.file_size // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert part.filename in refused(path, read) and "checksum" in refused(path, read)


def test_a_part_that_is_there_twice_is_told(path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"another")
    assert "twice" in refused(path)


class Claim:
    """Pickled, a tensor of any size, made of a storage of four numbers."""

    def __init__(self, size, stride=(1,)):
        numbers = torch.randn(4).untyped_storage()
        storage = torch.storage.TypedStorage(wrap_storage=numbers, dtype=torch.float32, _internal=True)
        self.arguments = (storage, 0, size, stride, False, {})

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


HUGE = 10**10


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "tensor, words",
    [
        (Claim((HUGE,)), "claim"),
        (Claim((5,)), "claim"),
        (Claim((HUGE,), (0,)), "expanded"),
        (torch.randn(3, 3).to_sparse(), "sparse"),
        (torch.empty(HUGE, device="meta"), "meta device"),
        (torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "quantised"),
    ],
)  # fmt: skip
def test_tensors_without_numbers_of_their_own_are_told(tmp_path, tensor, words, zipped):
    if words == "claim" and not zipped and tensor.arguments[2] == (5,):
        pytest.skip("a storage of the older format has no size of its own")
    state = masked_checkpoint()
    state["last_optimizer_state"] = {"state": {0: {"exp_avg": tensor}}}
    torch.save(state, tmp_path / "checkpoint.pt", _use_new_zipfile_serialization=zipped)
    assert words in refused(tmp_path / "checkpoint.pt")


def test_a_storage_that_is_shorter_than_the_pickle_says_is_told(path):
    packed_again(path, zipfile.ZIP_STORED, **{"5": b"1234"})
    assert "claims" in refused(path) and "where 4 are" in refused(path)


REASONS = [
    (PermissionError(13, "Permission denied"), "Permission denied"),
    (OSError(5, "Input/output error"), "Input/output error"),
    (MemoryError(), "memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."), "memory"),
]


@pytest.mark.parametrize("reason, words", REASONS)
def test_what_is_not_the_fault_of_the_file_is_told_as_what_it_is(path, monkeypatch, capsys, reason, words):
    def fail(*arguments, **options):
        raise reason

    monkeypatch.setattr(safe_load, "load", fail)
    assert main(["report", str(path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"checkpoint {path}: " in line and words in line
    assert "damaged" not in line and "copy it again" not in line


def test_a_torch_that_is_too_old_is_told(path, monkeypatch):
    monkeypatch.delattr(torch.serialization, "safe_globals")
    with pytest.raises(CannotRead, match="torch 2.*install torch"):
        load(str(path))


def test_an_open_file_is_read_from_its_beginning(path):
    with open(path, "rb") as file:
        assert set(checkpoints.load_checkpoint(file)["model"]) == set(masked_checkpoint()["model"])
    assert isinstance(file, io.BufferedReader)


def test_a_file_that_fairseq_may_not_open_is_told_as_ours_is():
    def load_checkpoint_to_cpu(path):
        raise PermissionError(13, "Permission denied", path)

    with pytest.raises(CannotRead, match="^checkpoint x.pt: Permission denied$") as refusal:
        checkpoints.load.load_options_too(load_checkpoint_to_cpu, "x.pt")
    assert refusal.value.exit_code == 1
