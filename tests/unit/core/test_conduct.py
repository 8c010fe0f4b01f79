"""What guests do that no call shows: files that run beside what was read, and ends of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.conduct import check_conduct, watched
from harness.core.errors import HarnessError
from harness.core.guests import contained
from harness.core.helpers import content_digest, helpers_of
from harness.core.running import import_file


@pytest.fixture(autouse=True)
def clean_path() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("beside_"):
            del sys.modules[name]


def write(folder: Path, text: str, **helpers: str) -> str:
    for name, content in helpers.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "main.py").write_text(text)
    return str(folder / "main.py")


def test_the_text_that_was_read_is_what_runs(tmp_path: Path) -> None:
    file = write(tmp_path, "import helper\nVALUE = 1\n\ndef late():\n    import later\n    return later.VALUE\n",
                 helper="VALUE = 1", later="VALUE = 1")  # fmt: skip
    before = content_digest(file)
    for name in ("main", "helper", "later"):
        text = (tmp_path / f"{name}.py").read_text()
        (tmp_path / f"{name}.py").write_text(text.replace("VALUE = 1", "VALUE = 2"))
    module = import_file(file)
    assert (module.VALUE, module.helper.VALUE, module.late()) == (1, 1, 1)
    assert content_digest(file) == before


IMPORTS = """
import importlib
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
one = importlib.import_module("beside_one")
two = __import__("beside_two")
VALUES = (one.VALUE, two.VALUE)
"""


def test_imports_by_a_written_name_are_helpers(tmp_path: Path) -> None:
    file = write(tmp_path, IMPORTS, beside_one="VALUE = 1", beside_two="VALUE = 1")
    assert [os.path.basename(path) for path in helpers_of(file).files] == ["beside_one.py", "beside_two.py"]
    (tmp_path / "beside_one.py").write_text("VALUE = 2")
    (tmp_path / "beside_two.py").write_text("VALUE = 2")
    assert import_file(file).VALUES == (1, 1), "the text that the digest is of"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("sys.path.insert(0, folder + '/lib')\ntry:\n    import beside_three\nexcept ImportError:\n    pass",
         "from lib import beside_three"),
        ("sys.path.insert(0, folder)\nname = 'beside_four'\n__import__('importlib').import_module(name)",
         "import beside_four"),
    ],
)  # fmt: skip
def test_a_file_that_reading_does_not_show_is_refused(tmp_path: Path, act: str, said: str) -> None:
    text = f"import os, sys\nfolder = os.path.dirname(__file__)\n{act}\n"
    file = write(tmp_path, text, lib__beside_three="", beside_four="")
    for _ in range(2):  # again, when its module is there already
        with pytest.raises(HarnessError, match="cannot be seen without running it") as caught:
            import_file(file)
        assert (caught.value.kind, caught.value.where) == ("plugin", file)
        assert caught.value.hint == f"a plain import of it: {said}"


LATE = """
import os, sys

def late():
    sys.path.insert(0, os.path.dirname(__file__))
    name = "beside_five"
    return __import__(name)
"""


def test_a_late_import_is_refused_in_its_job(tmp_path: Path) -> None:
    file = write(tmp_path, LATE, beside_five="")
    with pytest.raises(HarnessError, match=r"imports .*beside_five\.py"), watched([file]):
        import_file(file).late()
    with pytest.raises(HarnessError, match=r"imports .*beside_five\.py"), watched([file]):
        import_file(file).late()
        check_conduct()
        raise AssertionError("told at once")


def test_other_folders_and_what_is_installed_are_no_helpers(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    file = write(own, LATE.replace("os.path.dirname(__file__)", repr(str(other))), env__site_packages="")
    write(other, "", beside_five="")
    installed = own / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "beside_six.py").write_text("")
    with watched([file]):
        import_file(file).late()
        sys.path.insert(0, str(installed))
        import beside_six  # type: ignore[import-not-found]  # noqa: F401


def test_what_torch_compile_writes_beside_results_is_no_helper(tmp_path: Path) -> None:
    from torch._inductor.runtime.compile_tasks import _reload_python_module

    file = write(tmp_path, "")
    made = tmp_path / "results" / "compiled" / "c0ffee.py"
    made.parent.mkdir(parents=True)
    made.write_text("one = 1\n")
    with watched([file]):
        import_file(file)
        module = _reload_python_module("beside", str(made))
        check_conduct()
    del sys.modules[module.__name__]


EXITS = """
import os
import threading

def leave():
    os._exit(0)

def in_thread(target=leave, args=()):
    thread = threading.Thread(target=target, args=args)
    thread.start()
    thread.join()

def bare():
    in_thread(os._exit, (0,))
"""


def test_a_guest_cannot_end_the_process(tmp_path: Path) -> None:
    file = write(tmp_path, EXITS)
    module = import_file(file)
    with pytest.raises(HarnessError, match=r"ends the process \(os\._exit\(0\)\)") as caught, contained():
        module.leave()
    assert caught.value.kind == "plugin"
    assert caught.value.where.startswith(f"{file}:")
    check_conduct()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("name", "place"), [("in_thread", "main.py:6"), ("bare", "")])
def test_a_thread_of_a_guest_cannot_end_it_either(tmp_path: Path, name: str, place: str) -> None:
    module = import_file(write(tmp_path, EXITS))
    with pytest.raises(HarnessError, match=r"a thread ends the process: os\._exit\(0\)") as caught, watched([]):
        getattr(module, name)()
    assert caught.value.kind == "plugin"
    assert caught.value.where.endswith(place)
    check_conduct()


def test_others_end_their_processes_as_before(tmp_path: Path) -> None:
    import_file(write(tmp_path, EXITS))
    child = os.fork()
    if child == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
