"""Which stored suite a suite file is, and that two of one name stay both."""

from __future__ import annotations

import shutil

import pytest

from harness.cli.subject import read_suite, suite_place
from harness.core.paths import write_text
from harness.results.frames import open_results
from harness.results.suites import keep_suite, kept_as, read_suites
from tests.unit.cli.results import SUITE
from tests.unit.records.made import cell, finish, listed, suite, values


@pytest.fixture
def files(tmp_path):
    """Two suite files of one name."""
    found = [tmp_path / name / "tiny.yaml" for name in ("a", "b")]
    for file in found:
        file.parent.mkdir()
        file.write_text(f"# {file.parent.name}")
    return found


def run(layout, file, *cells):
    """What a run of the file does first; gives the name of the suite."""
    found = kept_as(suite(*map(listed, cells), name="tiny"), str(file), layout)
    keep_suite(found, layout)
    return found.name


def stored(layout):
    return {each.name: [cell.cell.id for cell in each.cells] for each in read_suites(layout).suites}


def test_two_files_of_one_name_stay_both_visible(layout, files):
    finish(layout, cell(0), values([20.0], [0.5]))
    finish(layout, cell(1), values([21.0], [0.6]))
    assert [run(layout, files[0], cell(0)), run(layout, files[1], cell(1))] == ["tiny", "tiny~2"]
    results = open_results(layout.out)
    assert results.suites == ("tiny", "tiny~2")
    assert results.cells()["suites"].to_list() == [["tiny"], ["tiny~2"]]
    assert results.images().height == 4


def test_the_same_file_edited_replaces_its_own(layout, files):
    for seed, file in ((0, 0), (1, 1), (2, 0), (3, 1)):
        run(layout, files[file], cell(seed))
    assert stored(layout) == {"tiny": [cell(2).id], "tiny~2": [cell(3).id]}


def test_a_copied_file_is_the_same_suite_until_it_is_edited(layout, files):
    assert run(layout, files[0], cell(0)) == "tiny"
    assert run(layout, files[1], cell(0)) == "tiny"
    assert run(layout, files[1], cell(1)) == "tiny"
    assert run(layout, files[0], cell(0)) == "tiny~2"


def test_a_moved_file_is_the_same_suite(layout, files, tmp_path):
    run(layout, files[0], cell(0), cell(1))
    shutil.move(files[0], tmp_path / "moved.yaml")
    assert run(layout, tmp_path / "moved.yaml", cell(1), cell(2)) == "tiny"
    assert stored(layout) == {"tiny": [cell(1).id, cell(2).id]}
    (tmp_path / "moved.yaml").unlink()
    assert run(layout, files[1], cell(3)) == "tiny~2"  # nothing says that it is the same


def test_a_suite_of_an_earlier_release_is_replaced_as_before(layout, files):
    write_text(layout.suite("tiny"), suite(listed(cell(0)), name="tiny").model_dump_json())
    assert run(layout, files[0], cell(1)) == "tiny"
    assert run(layout, files[1], cell(2)) == "tiny~2"


@pytest.mark.parametrize("kind", ["folder", "text"])
def test_what_cannot_be_read_is_renamed_not_overwritten(layout, files, kind):
    run(layout, files[0], cell(0))
    path = layout.suite("tiny")
    path.unlink()
    path.mkdir() if kind == "folder" else path.write_bytes(b"\xff{")
    assert run(layout, files[0], cell(0)) == "tiny"
    assert stored(layout) == {"tiny": [cell(0).id]}
    assert path.with_name("tiny.json.damaged-1").exists()


def test_a_flipped_byte_is_not_believed(layout, files):
    run(layout, files[0], cell(0))
    run(layout, files[1], cell(1))
    path = layout.suite("tiny")
    assert path.read_text().count('"seed": 0') == 1
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 4'))
    read = read_suites(layout)
    assert [each.name for each in read.suites] == ["tiny~2"]
    assert read.problems == (f"{path}: cannot be read as a suite: its content is not what was sealed, left out",)
    assert run(layout, files[0], cell(0)) == "tiny"
    assert path.with_name("tiny.json.damaged-1").exists()


def test_a_copy_of_a_stored_suite_hides_nothing(layout, files):
    run(layout, files[0], cell(0))
    shutil.copy(layout.suite("tiny"), layout.suite("tiny old"))
    run(layout, files[0], cell(1))
    assert stored(layout) == {"tiny": [cell(1).id], "tiny old": [cell(0).id]}


def test_a_file_is_known_by_its_place_behind_links_and_a_shipped_one_by_its_name(files, tmp_path):
    (tmp_path / "link.yaml").symlink_to(files[0])
    assert suite_place(str(tmp_path / "link.yaml")) == suite_place(str(files[0])) == str(files[0].resolve())
    assert suite_place("smoke") == "shipped:smoke"


def test_commands_on_a_suite_file_find_its_own_results(layout, files):
    for number, file in enumerate(files):
        file.write_text(SUITE.replace("seeds: [0, 1]", f"seeds: [{number}]"))
        resolved, _ = read_suite(str(file), layout.out, None).suites[0]
        keep_suite(resolved, layout)
    names = [read_suite(str(file), layout.out, None).suites[0][0].name for file in files]
    assert names == ["small", "small~2"]
    assert list(stored(layout)) == names
