"""The guide on data sets of the field: its table is what is declared, and its commands lead to a table."""

from __future__ import annotations

import shlex
from contextlib import chdir
from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.parts.catalogue import REGISTRY
from tests.docs.test_guides import SMALL, bench, commands, text_of, write_files


def rows() -> list[str]:
    """The lines of the table, from the declarations."""
    found = []
    for name in REGISTRY.names("dataset"):
        source = declaration(REGISTRY, "dataset", name).traits.source
        if source is not None:
            counts = [
                f"{f'{each.scenes:,} scenes' if each.images is None else f'{each.images:,}'} {split}"
                f"{'' if each.sure else ' ?'}"
                for split, each in source.counts.items()
            ]
            named = ", ".join(layout.name for layout in source.layouts)
            numbers, tasks = ", ".join(counts), ", ".join(source.tasks)
            found.append(
                f"| `{name}`: [{source.title}]({source.page}) | {numbers} | {named} | {tasks} | {source.protocol} |"
            )
    return found


def test_the_table_is_what_is_declared() -> None:
    table = [line for line in text_of("field_sets").splitlines() if line.startswith("| `")]
    assert table == rows()


def test_its_commands_lead_from_an_example_to_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = text_of("field_sets")
    assert write_files(text, tmp_path) == ["lowlight.yaml"]
    said = {}
    with chdir(tmp_path):
        for line in commands(text):
            name, *words = shlex.split(line)
            assert name == "bench", line
            more = [*SMALL, "--executor", "local", "--tracker", "none"] if words[0] == "run" else []
            said[line] = bench(*words, *more)
    assert "downloads/LOLdataset" in said["bench data example lol_v1 --to downloads/LOLdataset"]
    assert (
        "lol_v1 (example): official layout, 3 train, 2 test images"
        in said["bench data prepare lol_v1 --from downloads/LOLdataset"]
    )
    assert "example" in said["bench data list"]
    assert "low_light (example)" in said["bench plan lowlight.yaml"]
    assert "lol_v1 (example) PSNR" in " ".join(said["bench run lowlight.yaml"].split())
