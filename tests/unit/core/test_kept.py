"""A plug-in's copy beside the results runs where the user's own file is not, under the same ids."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.cells.suite import ResolvedSuite
from harness.core.errors import HarnessError
from harness.core.helpers import content_digest
from harness.core.kept import keep, kept_place, usable
from harness.core.paths import Layout
from harness.core.running import import_file
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.job import Job, ShardsWork
from harness.planning.places import placed, places, plugin_copies
from harness.results.shelf import keep_plugins
from tests.unit.scheduling.plans import shards

MAIN = '''
from torch import nn

from harness.api.loss import LossTraits
import words
from tools.deep import DEEP
from loose import near


class Mine(nn.Module):
    """A loss of the user's own."""

    traits = LossTraits()

    def __init__(self, *, share: float = 2.0):
        super().__init__()
        self.said = (words.SAID, DEEP, near.NEAR)


CATALOGUE = (("loss", "mine", "Mine"),)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plug-in with a helper, one in a package, and one in a folder that is no package."""
    folder = tmp_path / "home"
    for name, text in (
        ("mine.py", MAIN),
        ("words.py", "SAID = 'said'\n"),
        ("tools/__init__.py", ""),
        ("tools/deep.py", "DEEP = 'deep'\n"),
        ("loose/near.py", "NEAR = 'near'\n"),
        ("strange.py", "SAID = 'nobody imports this'\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "mine.py"


def version(file: Path) -> str:
    return declaration(extend(REGISTRY, [str(file)]), "loss", "mine").version


def test_a_copy_is_the_plug_in_with_its_helpers_under_the_same_version(tmp_path: Path, plugin: Path) -> None:
    keep(tmp_path / "copies", str(plugin))
    copy = kept_place(tmp_path / "copies", str(plugin))
    own = version(plugin)
    shutil.rmtree(plugin.parent)
    found = sorted(str(path.relative_to(copy.parent)) for path in copy.parent.rglob("*.py"))
    assert found == ["loose/near.py", "mine.py", "tools/__init__.py", "tools/deep.py", "words.py"]
    assert version(copy) == own
    assert usable([str(plugin)], [str(copy)]) == (str(plugin),)  # it was read before, and is run as it was read
    assert import_file(str(copy)).Mine().said == ("said", "deep", "near")


def test_the_copy_runs_where_the_file_is_gone_or_another_and_that_is_said(
    tmp_path: Path, plugin: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path / "copies", str(plugin))
    copy = str(kept_place(tmp_path / "copies", str(plugin)))
    other = tmp_path / "node" / "mine.py"
    with caplog.at_level(logging.WARNING):
        assert usable([str(other)], [copy]) == (copy,)
        assert "is not on this machine" in caplog.text
        shutil.copytree(plugin.parent, tmp_path / "old")
        (tmp_path / "old" / "words.py").write_text("SAID = 'as it was last week'\n")
        assert usable([str(tmp_path / "old" / "mine.py")], [copy]) == (copy,)
        assert "is another version here than the run was planned with" in caplog.text
    caplog.clear()
    shutil.copytree(plugin.parent, tmp_path / "same")
    (tmp_path / "same" / "words.py").write_text("SAID = 'said'  # a comment is no other version\n")
    assert usable([str(tmp_path / "same" / "mine.py")], [copy]) == (str(tmp_path / "same" / "mine.py"),)
    assert usable([str(other)], []) == usable([str(other)], [""]) == (str(other),)
    assert not caplog.text


def test_a_copy_that_was_changed_is_refused_and_says_what_to_do(tmp_path: Path, plugin: Path) -> None:
    keep(tmp_path / "copies", str(plugin))
    copy = kept_place(tmp_path / "copies", str(plugin))
    (copy.parent / "words.py").write_text("SAID = 'tampered with'\n")
    with pytest.raises(HarnessError, match="is not what it was") as raised:
        usable([str(tmp_path / "gone.py")], [str(copy)])
    assert raised.value.kind == "storage"
    assert str(copy.parent) in raised.value.hint


def test_jobs_name_the_copies_that_a_run_keeps_and_move_with_the_results(tmp_path: Path, plugin: Path) -> None:
    layout = Layout(tmp_path / "out", tmp_path / "data")
    suite = ResolvedSuite(name="small", cells=(), metrics=(), plugins=(str(plugin), str(tmp_path / "broken.py")))
    (tmp_path / "broken.py").write_text("def (")
    keep_plugins(suite, layout)
    work = shards("a", layout.out).work
    assert isinstance(work, ShardsWork)
    job = Job(work=work, **places(layout, suite.plugins, suite.name))
    layout.out.rename(tmp_path / "moved")
    found = placed(job, tmp_path / "moved" / "jobs" / "a.json")
    copy = (
        plugin_copies(Layout(tmp_path / "moved", tmp_path / "data"), "small") / content_digest(str(plugin)) / "mine.py"
    )
    assert found.copies == (str(copy), "")
    assert copy.read_text() == MAIN
    assert Job(work=work, **places(layout, ())).model_dump_json().count("copies") == 0


def test_what_changes_while_it_is_copied_is_not_kept(tmp_path: Path, plugin: Path) -> None:
    content_digest(str(plugin))
    (plugin.parent / "words.py").write_text("SAID = 'edited since it was read'\n")
    with pytest.raises(ValueError, match="has changed since it was read"):
        keep(tmp_path / "copies", str(plugin))
    assert list((tmp_path / "copies").iterdir()) == []
