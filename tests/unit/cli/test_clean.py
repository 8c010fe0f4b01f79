"""`bench clean`: says what no suite needs, and removes that alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.api.library import Note, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.core.paths import Layout, write_text
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import FeaturesWork, ShardsWork
from tests.unit.cli.results import SUITE, Results, bench


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    found = Results(tmp_path)
    found.finish(0, 1, 2, 3, 4)
    suite = found.suite
    for node in build_graph(suite.cells, suite.metrics, suite.protocols, REGISTRY).nodes.values():
        work = node.work
        if isinstance(work, ShardsWork | FeaturesWork):
            content = work.stored if isinstance(work, ShardsWork) else work.features
            write_text(content.folder(found.layout.data) / "000000", "x" * 1000)
    return found


def old(path: Path) -> None:
    """As if nobody had touched it for two days."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (time.time() - 48 * 3600,) * 2)


def tree(layout: Layout) -> set[str]:
    return {str(path.relative_to(layout.out)) for path in layout.out.rglob("*") if path.is_file()} - {".lock"}


def test_all_that_a_suite_needs_stays(results: Results) -> None:
    before = tree(results.layout)
    for subject in ((results.out,), (results.file, "--out", results.out)):
        done = bench("clean", *subject, "--yes")
        assert (done.exit_code, done.output) == (exits.DONE, "nothing to remove: all that is here is needed\n")
    assert tree(results.layout) == before


def test_what_another_version_of_the_suite_left_is_listed_and_removed(results: Results) -> None:
    """The suite loses a variant: its two cells, the prior's vectors and the remains of killed runs are not needed."""
    before = tree(results.layout)
    results.file.write_text(SUITE.replace("variant: [base, {refiner: ptg_rm, prior: nss}]", "variant: [base]"))
    lost = {results.suite.cells[place].cell.id for place in (3, 4)}
    remains = [f"cells/.{next(iter(lost))}.0a1b2c3d.tmp/record.json", f"cells/.{next(iter(lost))}.anew/record.json"]
    remains += ["data/.set.0a1b2c3d.tmp/000000.tar", "jobs/train-0123456789abcdef.log"]
    for name in remains:
        write_text(results.out / name, "y" * 10)
    old(results.layout.data / ".set.0a1b2c3d.tmp")
    foreign = ["cells/notes.txt", "data/my pictures/1.png", "mine.txt"]
    for name in foreign:
        write_text(results.out / name, "z")
    listed = bench("clean", results.file, "--out", results.out)
    assert (listed.exit_code, tree(results.layout)) == (exits.DONE, before | set(remains) | set(foreign))
    assert listed.output.splitlines()[-1].endswith("; --yes removes them")
    assert all(f"low_light NAFNet base {cell_id}" in listed.output for cell_id in lost), "as the record calls it"
    removed = bench("clean", results.file, "--out", results.out, "--yes")
    assert (removed.exit_code, " removed, " in removed.output) == (exits.DONE, True), removed.output
    gone = {name for name in before if any(cell_id in name for cell_id in lost) or name.startswith("data/features/")}
    assert gone
    assert tree(results.layout) == before - gone | set(foreign)


def test_compiled_graphs_stay_until_all_is_trained(results: Results) -> None:
    made = results.layout.compiled / "0a1b" / "fxgraph"
    write_text(made, "x" * 1000)
    weights = [results.layout.final_weights(each.cell.id) for each in results.suite.cells if each.cell.backbone]
    assert all(path.is_file() for path in weights)
    held = weights[0].read_bytes()
    weights[0].unlink()
    assert bench("clean", results.out, "--yes").exit_code == exits.DONE
    assert made.is_file()
    weights[0].write_bytes(held)
    done = bench("clean", results.out, "--yes")
    assert (done.exit_code, made.exists()) == (exits.DONE, False), done.output
    assert "graphs" in done.output


def test_another_suite_of_the_folder_keeps_what_it_needs(results: Results) -> None:
    before = tree(results.layout)
    results.file.write_text(SUITE.replace("suite: small", "suite: other").replace("seeds: [0, 1]", "seeds: [0]"))
    done = bench("clean", results.file, "--out", results.out, "--yes")
    assert (done.exit_code, tree(results.layout)) == (exits.DONE, before), done.output


def test_a_suite_that_cannot_be_read_keeps_all(results: Results) -> None:
    write_text(results.layout.suite("other"), "{")
    before = tree(results.layout)
    done = bench("clean", results.file, "--out", results.out, "--yes")
    assert (done.exit_code, "nothing is removed" in done.output) == (exits.FAILED, True), done.output
    assert tree(results.layout) == before


def test_shared_data_is_looked_at_when_asked(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "shared"))
    others = tmp_path / "shared" / "sets" / "photos.derain.0123456789ab" / "train" / "000000.tar"
    write_text(others, "x")
    kept = bench("clean", results.out, "--yes")
    assert (kept.exit_code, others.exists()) == (exits.DONE, True)
    assert "not looked at" in kept.output
    assert bench("clean", results.out, "--yes", "--shared-data").exit_code == exits.DONE
    assert not others.exists()


def test_a_running_run_is_left_alone(results: Results) -> None:
    from harness.records.lock import run_lock

    with run_lock(results.layout):
        assert bench("clean", results.out).exit_code == exits.DONE
        done = bench("clean", results.out, "--yes")
    assert (done.exit_code, "another run is using this folder" in done.output) == (exits.FAILED, True)


def test_what_another_run_is_making_in_shared_data_is_left_alone(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is on another folder of results; a day without change says that it is no more."""
    shared = tmp_path / "shared"
    monkeypatch.setenv("PRIORBENCH_DATA", str(shared))
    train = results.suite.cells[1].cell.train_samples.stored.folder(shared)
    other = shared / "sets" / "photos.derain.0123456789ab"
    made, lock = train.with_name(".train.0a1b2c3d.tmp"), train.with_name(".train.lock")
    aside, others = train.with_name(".train.4e5f6a7b.aside"), other / ".train.8c9d0e1f.tmp"
    rows = shared / "features" / "nss.0123456789ab" / "photos.derain.0123456789ab" / ".train.2a3b4c5d.tmp"
    for folder in (made, aside, others, rows):
        write_text(folder / "000000.tar", "x")
    write_text(lock, "")
    write_text(other / "test" / "000000.tar", "x")
    left = {made, aside, lock, others, rows, other / "test"}
    assert bench("clean", results.out, "--yes", "--shared-data").exit_code == exits.DONE
    assert {path for path in left if path.exists()} == left
    old(shared)
    done = bench("clean", results.out, "--yes", "--shared-data")
    assert done.exit_code == exits.DONE, done.output
    assert {path for path in left if path.exists()} == {aside}, "put back by the next run, as nothing is in its place"
    write_text(train / "000000.tar", "new")
    assert bench("clean", results.out, "--yes", "--shared-data").exit_code == exits.DONE
    assert (aside.exists(), train.exists()) == (False, True)


def test_what_a_swap_left_of_a_needed_cell_stays(results: Results) -> None:
    cell_id = results.suite.cells[0].cell.id
    kept = [f"cells/.{cell_id}.anew/record.json", f"cells/.{cell_id}.old/record.json"]
    for name in kept:
        write_text(results.out / name, "y")
    assert bench("clean", results.out, "--yes").exit_code == exits.DONE
    assert set(kept) <= tree(results.layout)


def test_prints_stay_and_the_audits_of_earlier_releases_go(results: Results) -> None:
    write_text(results.layout.data / "prints" / "0a.parquet", "x")
    write_text(results.layout.data / "audits" / "photos.0a.test.json", "{}")
    listed = bench("clean", results.out)
    assert ("audits" in listed.output, "prints" in listed.output) == (True, False)
    assert bench("clean", results.out, "--yes").exit_code == exits.DONE
    assert {path.name for path in results.layout.data.iterdir()} >= {"prints"}
    assert not (results.layout.data / "audits").exists()


def test_temporary_folders_younger_than_a_day_are_told(results: Results) -> None:
    write_text(results.layout.data / "sets" / ".x.0a1b2c3d.tmp" / "000000.tar", "y")
    done = bench("clean", results.out)
    assert done.output.splitlines() == [
        "nothing to remove yet",
        "left for a day, as a run may be at work on them: temporary folders of data (1)",
    ]
    old(results.layout.data / "sets" / ".x.0a1b2c3d.tmp")
    assert "left for a day" not in bench("clean", results.out).output


def test_a_link_is_removed_and_never_what_the_library_has(results: Results, tmp_path: Path, monkeypatch) -> None:
    library = tmp_path / "library"
    ref = PartRef(name="lol_v1", digest="0123456789abcdef")
    write_note(Note(dataset=ref, splits={"train": 1, "test": 1}), library)
    for split in ("train", "test"):
        stored = PreparedSet(dataset=ref, split=split)
        write_text(stored.folder(library) / "000000.tar", "pictures")
        link = stored.folder(results.layout.data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(stored.folder(library))
    done = bench("clean", results.file, "--out", results.out, "--yes")
    assert done.exit_code == exits.DONE, done.output
    assert not os.path.lexists(PreparedSet(dataset=ref, split="train").folder(results.layout.data))
    kept = PreparedSet(dataset=ref, split="test").folder(library)
    assert (kept / "000000.tar").read_text() == "pictures"
    other = PreparedSet(dataset=ref.model_copy(update={"digest": "fedcba9876543210"}), split="train").folder(library)
    write_text(other / "000000.tar", "an earlier copy")
    monkeypatch.setenv("PRIORBENCH_DATA", str(library))
    done = bench("clean", results.file, "--out", results.out, "--yes", "--shared-data")
    assert done.exit_code == exits.DONE, done.output
    assert (kept / "000000.tar").is_file(), "it is for all suites"
    assert not other.exists()
