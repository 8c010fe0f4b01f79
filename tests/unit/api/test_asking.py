"""What planning asks of data sets, and what it makes of their answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.asking import fingerprint_of, opened, splits_of
from harness.api.library import InLibrary
from harness.core.errors import DataError, HarnessError
from harness.core.registry import Entry, Registry

GUEST = """
from harness.api.dataset import DatasetTraits
from harness.core.errors import DataError

class Odd:
    "Data set."
    traits = DatasetTraits()
    def __init__(self, *, refuse: str = "") -> None:
        if refuse:
            raise {"value": ValueError, "data": DataError, "key": KeyError}[refuse]("not like this")

    def splits(self):
        SPLITS

    def fingerprint(self):
        PRINT
"""


def registry(folder: Path, splits: str = "return ('train',)", fingerprint: str = "return '0a'") -> Registry:
    file = folder / "odd.py"
    file.write_text(GUEST.replace("SPLITS", splits).replace("PRINT", fingerprint))
    return Registry([Entry("dataset", "odd", f"{file}:Odd")])


def test_sound_answers_pass(tmp_path: Path) -> None:
    dataset = opened(registry(tmp_path, "return ['train', 'plain@50 %']"), "odd", {})
    assert (fingerprint_of(dataset), splits_of(dataset)) == ("0a", ("train", "plain@50 %"))


def test_refused_options_are_the_suites_mistake(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="not like this") as caught:
        opened(registry(tmp_path), "odd", {"refuse": "value"})
    assert caught.value.kind == "suite"
    with pytest.raises(DataError, match="not like this"):
        opened(registry(tmp_path), "odd", {"refuse": "data"})
    with pytest.raises(HarnessError, match="KeyError: 'not like this'") as caught:
        opened(registry(tmp_path), "odd", {"refuse": "key"})
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{tmp_path / 'odd.py'}:10")
    with pytest.raises(HarnessError, match="unexpected keyword"):
        opened(registry(tmp_path), "odd", {"other": 1})


@pytest.mark.parametrize("given", ["None", "3", "''", "' '", "'a/b'", "'..\\\\x'", "'a\\nb'", "b'0a'"])
def test_a_fingerprint_is_a_text_that_files_can_be_called_by(tmp_path: Path, given: str) -> None:
    dataset = opened(registry(tmp_path, fingerprint=f"return {given}"), "odd", {})
    with pytest.raises(HarnessError, match="Odd gives the fingerprint") as caught:
        fingerprint_of(dataset)
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{tmp_path / 'odd.py'}:5")


@pytest.mark.parametrize("given", ["None", "()", "'train'", "('../../x',)", "('',)", "(1,)", "('a\\0b',)", "('.x',)"])
def test_splits_are_names_of_folders(tmp_path: Path, given: str) -> None:
    dataset = opened(registry(tmp_path, f"return {given}"), "odd", {})
    with pytest.raises(HarnessError) as caught:
        splits_of(dataset)
    assert caught.value.kind == "plugin"


@pytest.mark.parametrize("act", ["raise RuntimeError('fire')", "raise SystemExit(3)", "return {}['x']"])
def test_whatever_a_data_set_raises_is_its_own(tmp_path: Path, act: str, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = opened(registry(tmp_path, fingerprint=f"print('noise'); {act}"), "odd", {})
    with pytest.raises(HarnessError) as caught:
        fingerprint_of(dataset)
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{tmp_path / 'odd.py'}:16")
    assert capsys.readouterr().out == ""


OF_THE_FIELD = """
from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Files, Layout, Source

class Field:
    "Data set of the field."
    traits = DatasetTraits(source=Source(
        title="Field", page="p", citation="c", size="s", counts={}, tasks=("derain",), protocol="rgb_uint8",
        layouts=(Layout(name="official", of="theirs", splits={"test": Files(gt=("*",))}),),
    ))
    def __init__(self, *, root: LocalFile | None = None) -> None:
        self.root = root
"""


def test_a_data_set_of_the_field_without_a_folder_is_the_library_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "field.py").write_text(OF_THE_FIELD)
    known = Registry([Entry("dataset", "field", f"{tmp_path / 'field.py'}:Field")])
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    for options in ({}, {"root": None}):
        found = opened(known, "field", options)
        assert isinstance(found, InLibrary)
        assert (found.name, found.folder, found.traits.source) == ("field", tmp_path / "library", found.traits.source)
    own = opened(known, "field", {"root": "/somewhere"})
    assert not isinstance(own, InLibrary)
    assert own.root == "/somewhere"  # type: ignore[attr-defined]
