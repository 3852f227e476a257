"""fairseq-preprocess mixes, doubles and overwrites no data; damaged data are reported in one line."""

import os
import random
import shutil

import numpy
import pytest
import torch
from fairseq_commands import LANGUAGES, TINY, run, write_texts

from dsp_fairseq_startup.errors import WrongUse

TRAIN = "train.de-en.de"


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """Folder with the texts of train, valid and test, and `data`, which is made from the first two."""
    folder = tmp_path_factory.mktemp("letters")
    write_texts(folder, train=24, valid=6, test=6)
    with pytest.MonkeyPatch.context() as patch:
        texts = ("--trainpref", folder / "train", "--validpref", folder / "valid")
        assert quietly(patch, "preprocess", *LANGUAGES, *texts, "--destdir", folder / "data") == (0, [])
    return folder


def quietly(patch, command, *arguments):
    class Nothing:
        @staticmethod
        def readouterr():
            return Nothing

        err = ""

    return run(command, *arguments, monkeypatch=patch, capsys=Nothing)


@pytest.fixture
def command(monkeypatch, capsys):
    return lambda name, *arguments: run(name, *arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def data(letters, tmp_path):
    return shutil.copytree(letters / "data", tmp_path / "data")


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "preprocess.log"}


def dictionary(folder, side="de"):
    from fairseq.data import Dictionary

    return Dictionary.load(str(folder / f"dict.{side}.txt"))


def load(folder, name=TRAIN, impl=None, words=None):
    from fairseq.data import data_utils

    return data_utils.load_indexed_dataset(str(folder / name), words, dataset_impl=impl)


class TestLineEnds:
    def test_a_carriage_return_ends_no_line(self, command, tmp_path):
        lines = [f"a{i} b\rc d{i} e\r" if i % 2 else f"a{i} b c" for i in range(50)]
        (tmp_path / "train.de").write_bytes("".join(line + "\n" for line in lines).encode())
        (tmp_path / "train.en").write_bytes(b"x\n" * 50)
        options = ("--trainpref", tmp_path / "train", "--destdir", tmp_path / "data")
        assert command("preprocess", *LANGUAGES, *options) == (0, [])
        words = dictionary(tmp_path / "data")
        sentences = load(tmp_path / "data", words=words)
        assert [words.string(sentence) for sentence in sentences] == [" ".join(line.split()) for line in lines]
        assert words.count[words.index("b")] == 50


class TestPreprocessAgain:
    def preprocess(self, command, letters, data, *options):
        before = content(data)
        status, errors = command("preprocess", *LANGUAGES, "--destdir", data, *options)
        if status:
            assert status == 2 and content(data) == before
        return errors

    def dictionaries(self, folder):
        return "--srcdict", folder / "dict.de.txt", "--tgtdict", folder / "dict.en.txt"

    def test_the_same_texts(self, command, letters, data):
        errors = self.preprocess(command, letters, data, "--trainpref", letters / "train")
        assert len(errors) == 3 and "dict.de.txt exists already" in errors[0] and "--srcdict" in errors[0]

    def test_other_texts_with_the_same_dictionary(self, command, letters, data):
        (error,) = self.preprocess(command, letters, data, "--trainpref", letters / "test", *self.dictionaries(data))
        assert f"{TRAIN}.bin exists already, and 3 more files" in error and "--destdir" in error

    def test_another_dictionary(self, command, letters, data, tmp_path):
        for side in ("de", "en"):
            lines = (data / f"dict.{side}.txt").read_text().splitlines(keepends=True)
            (tmp_path / f"dict.{side}.txt").write_text("".join(lines[::-1]))
        errors = self.preprocess(command, letters, data, "--testpref", letters / "test", *self.dictionaries(tmp_path))
        assert len(errors) == 2 and "has other words than" in errors[0]

    def test_data_of_another_kind(self, command, letters, data):
        options = ("--validpref", letters / "valid", "--dataset-impl", "raw", *self.dictionaries(data))
        (error,) = self.preprocess(command, letters, data, *options)
        assert "valid.de-en.de.bin exists already" in error

    def test_a_test_set_may_be_added(self, command, letters, data):
        before = content(data)
        assert self.preprocess(command, letters, data, "--testpref", letters / "test", *self.dictionaries(data)) == []
        after = content(data)
        assert len(load(data, "test.de-en.de")) == 6 and all(after[name] == before[name] for name in before)

    def test_a_test_set_may_be_added_to_data_of_a_joined_dictionary(self, command, letters, tmp_path):
        joined = ("--joined-dictionary", "--destdir", tmp_path)
        assert command("preprocess", *LANGUAGES, *joined, "--trainpref", letters / "train") == (0, [])
        added = (*joined, "--srcdict", tmp_path / "dict.de.txt", "--testpref", letters / "test")
        assert command("preprocess", *LANGUAGES, *added) == (0, [])
        assert len(load(tmp_path, "test.de-en.en")) == 6

    def test_a_test_set_may_be_added_to_data_of_one_side_without_a_language(self, command, letters, tmp_path):
        one = ("--only-source", "--destdir", tmp_path)
        assert command("preprocess", *one, "--trainpref", letters / "train.de") == (0, [])
        (error,) = command("preprocess", *one, "--testpref", letters / "test.de")[1]
        assert "dict.txt exists already" in error and "--srcdict" in error
        added = ("--srcdict", tmp_path / "dict.txt", "--testpref", letters / "test.de")
        assert command("preprocess", *one, *added) == (0, [])
        assert len(load(tmp_path, "test")) == 6


class TestTexts:
    def refused(self, command, folder, *options):
        status, errors = command("preprocess", *LANGUAGES, "--destdir", folder / "data", *options)
        assert status == 2 and not (folder / "data").exists()
        return errors

    def test_all_that_are_missing_are_named(self, command, letters, tmp_path):
        options = (
            "--trainpref",
            letters / "train",
            "--validpref",
            f"{letters}/valid,{letters}/vlaid",
            "--srcdict",
            "no.txt",
        )
        errors = self.refused(command, tmp_path, *options)
        words = ("--srcdict no.txt: no such file", "vlaid.de: no such file", "vlaid.en: no such file")
        assert all(word in error for word, error in zip(words, errors, strict=True))

    @pytest.mark.parametrize("workers", [1, 3])
    def test_not_utf8(self, command, tmp_path, workers):
        (tmp_path / "train.de").write_bytes(b"a b\n" * 7 + "ü\n".encode("latin-1") + b"c\n" * 9)
        (tmp_path / "train.en").write_bytes(b"a b\n" * 17)
        (error,) = self.refused(command, tmp_path, "--trainpref", tmp_path / "train", "--workers", workers)
        assert "train.de: line 8 is not UTF-8" in error

    def test_workers(self, command, letters, tmp_path):
        errors = self.refused(command, tmp_path, "--trainpref", letters / "train", "--workers", 0)
        assert errors == ["fairseq-preprocess: error: --workers 0: must be 1 or more"]

    def test_of_different_lengths(self, command, letters, tmp_path):
        (tmp_path / "train.de").write_bytes(b"a b\n" * 7 + b"c")
        (tmp_path / "train.en").write_bytes(b"a b\n" * 7)
        (error,) = self.refused(command, tmp_path, "--trainpref", tmp_path / "train")
        assert "train.de has 8 lines; " in error and "train.en has 7 lines" in error

    def test_languages(self, command, letters, tmp_path):
        status, (error,) = command("preprocess", "--trainpref", letters / "train", "--destdir", tmp_path / "data")
        assert status == 2 and "--source-lang and --target-lang are needed" in error


class TestKindsOfData:
    @pytest.fixture(scope="class")
    def folders(self, letters, tmp_path_factory):
        made = {"mmap": letters / "data"}
        for impl in ("lazy", "cached"):
            made[impl] = tmp_path_factory.mktemp(impl)
            with pytest.MonkeyPatch.context() as patch:
                texts = ("--trainpref", letters / "train", "--validpref", letters / "valid", "--dataset-impl", impl)
                assert quietly(patch, "preprocess", *LANGUAGES, *texts, "--destdir", made[impl]) == (0, [])
        return made

    @pytest.mark.parametrize("impl", ["lazy", "cached"])
    def test_hold_the_same_sentences(self, folders, impl):
        expected, seen = load(folders["mmap"]), load(folders[impl], impl=impl)
        some, others = [3, 17, 5], [0, 23]
        for chosen in (some, others):
            assert all(torch.equal(seen[i], expected[i]) for i in chosen)  # before anything is fetched
            if seen.supports_prefetch:
                seen.prefetch(some)

    def test_train_from_the_cache(self, command, folders, tmp_path):
        options = (*TINY, "--max-update", 1, "--save-dir", tmp_path, "--dataset-impl", "cached")
        assert command("train", folders["cached"], *options) == (0, [])
        assert (tmp_path / "checkpoint_last.pt").exists()

    def test_a_worker_process_reads_from_a_file_of_its_own(self, folders, monkeypatch):
        """Two processes that share a file share its position, and read each other's sentences."""
        sentences = load(folders["lazy"], impl="lazy")
        first = sentences[0]
        parents = sentences.data_file
        before = parents.tell()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            read = sentences[20]
        assert not torch.equal(read, first) and parents.tell() == before

    @pytest.mark.parametrize("made, asked", [("mmap", "cached"), ("mmap", "lazy"), ("lazy", "mmap")])
    def test_are_not_taken_for_each_other(self, folders, made, asked):
        with pytest.raises(WrongUse, match=f"--dataset-impl {asked}: .*{TRAIN}.idx was made with {made}"):
            load(folders[made], impl=asked)


def cut(count):
    return lambda file, other: os.truncate(file, max(file.stat().st_size - count, 0))


def replace_by(content):
    return lambda file, other: file.write_bytes(content)


DAMAGES = {
    "truncated": cut(10),
    "header only": lambda file, other: os.truncate(file, 12),
    "empty": replace_by(b""),
    "of other data": lambda file, other: shutil.copy(other, file),
    "missing": lambda file, other: file.unlink(),
    "a text": replace_by(b"this is text, not data\n" * 99),
}


class TestDamage:
    @pytest.mark.parametrize("part", ["bin", "idx"])
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("impl", ["mmap", "lazy"])
    def test_is_one_line_that_names_the_file(self, letters, data, damage, part, impl):
        from fairseq.data import indexed_dataset

        if impl == "lazy":
            for name in (TRAIN, "valid.de-en.de"):
                convert(data / name, load(data, name))
        DAMAGES[damage](data / f"{TRAIN}.{part}", data / f"valid.de-en.de.{part}")
        with pytest.raises(WrongUse, match=f"{TRAIN}.{part}") as error:
            if indexed_dataset.dataset_exists(str(data / TRAIN), None):
                load(data, words=dictionary(data))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("impl", ["mmap", "lazy"])
    def test_anywhere_in_the_index_is_seen_or_harmless(self, data, impl):
        """Seeded changes of one byte: refused, or all sentences can still be read as they were."""
        if impl == "lazy":
            convert(data / TRAIN, load(data))
        intact = [sentence.tolist() for sentence in load(data)]
        index, refused, choose = data / f"{TRAIN}.idx", 0, random.Random(1)
        whole = index.read_bytes()
        for _ in range(200):
            changed = bytearray(whole)
            changed[choose.randrange(len(whole))] = choose.randrange(256)
            index.write_bytes(changed)
            try:
                assert [sentence.tolist() for sentence in load(data, words=dictionary(data))] == intact
            except WrongUse as error:
                assert str(data) in str(error)
                refused += 1
        assert refused > 180

    def test_words_that_the_dictionary_lacks(self, data):
        words = dictionary(data)
        load(data, words=words)
        with pytest.raises(WrongUse, match=rf"{TRAIN}.bin has a word number 9, the dictionary has 5 words"):
            load(data, words=words.symbols[:5])

    def test_a_text_without_a_line(self, command, letters, tmp_path):
        for side in ("de", "en"):
            (tmp_path / f"valid.{side}").write_bytes(b"")
        texts = ("--trainpref", letters / "train", "--validpref", tmp_path / "valid", "--destdir", tmp_path / "data")
        assert command("preprocess", *LANGUAGES, *texts) == (0, [])
        with pytest.raises(WrongUse, match="valid.de-en.de.idx holds no sentence"):
            load(tmp_path / "data", "valid.de-en.de")

    @pytest.mark.parametrize(
        "lines, words", [(b"a 1\nb", "format"), (b"a 1\na 2\n", "Duplicate"), (b"\xff 1\n", "encoding")]
    )
    def test_of_a_dictionary(self, data, lines, words):
        (data / "dict.de.txt").write_bytes(lines)
        with pytest.raises(WrongUse, match=rf"dictionary .*dict.de.txt is damaged .*{words}"):
            dictionary(data)

    def test_is_reported_in_one_line(self, data):
        (data / "dict.de.txt").write_text("a 1\nb\n")
        with pytest.raises(WrongUse) as raised:
            dictionary(data)
        assert "\n" not in str(raised.value)

    def test_dictionaries_that_are_not_joined(self, command, data, tmp_path):
        options = (*TINY, "--share-all-embeddings", "--save-dir", tmp_path / "save", "--max-update", 1)
        with open(data / "dict.de.txt", "a") as file:
            file.write("another 1\n")
        status, (error,) = command("train", data, *options)
        assert status == 2 and "--joined-dictionary" in error
        assert f"{data}/dict.de.txt and {data}/dict.en.txt differ" in error

    def test_text_where_there_are_binarised_data_only(self, command, data, tmp_path):
        options = (*TINY, "--dataset-impl", "raw", "--save-dir", tmp_path / "save", "--max-update", 1)
        status, (error,) = command("train", data, *options)
        assert status == 2 and f"no valid text of these languages in {data}, which --dataset-impl raw reads" in error

    def test_source_and_target_of_different_lengths(self, command, data, tmp_path):
        for part in ("bin", "idx"):
            shutil.copy(data / f"valid.de-en.de.{part}", data / f"{TRAIN}.{part}")
        status, (error,) = command("train", data, *TINY, "--save-dir", tmp_path / "save", "--max-update", 1)
        assert status == 2 and f"source and target of train in {data} have different numbers of sentences" in error

    def test_in_every_command_that_reads_data(self, command, data, tmp_path):
        assert command("train", data, *TINY, "--save-dir", tmp_path, "--max-update", 1) == (0, [])
        os.truncate(data / "valid.de-en.en.bin", 20)
        model = ("--path", tmp_path / "checkpoint_last.pt", "--cpu")
        for name, options in (
            ("train", (*TINY, "--save-dir", tmp_path / "again")),
            ("generate", (*model, "--gen-subset", "valid")),
            ("validate", (*model, "--max-tokens", 100)),
        ):
            status, (error,) = command(name, data, *options)
            assert status == 2 and "valid.de-en.en.bin has 20 bytes" in error


def convert(path, sentences):
    """Turn data of `mmap` into data of `lazy`, whose word numbers begin at 1."""
    from fairseq.data.indexed_dataset import IndexedDatasetBuilder

    sentences = [sentence.clone() for sentence in sentences]
    builder = IndexedDatasetBuilder(f"{path}.bin", dtype=numpy.int32)
    for sentence in sentences:
        builder.add_item(sentence)
    builder.finalize(f"{path}.idx")
