import pytest

from harness.core.errors import HarnessError, UnknownName
from harness.core.registry import Entry, Registry
from harness.core.signature import REQUIRED, read_signature

GUEST = '''
"""A guest."""
import numpy  # a guest may import what it likes: reading its signature must not

VERSION = 3


class Colour:
    """Mean colour of the image."""

    def __init__(self, given, *, bins: int = 8, space: str) -> None:
        self.bins, self.space = bins, space


def make(*, sigma: float = 0.5) -> float:
    """A factory."""
    return sigma
'''


@pytest.fixture
def guest(tmp_path):
    path = tmp_path / "guest.py"
    path.write_text(GUEST)
    return path


def test_a_signature_is_read_without_running_the_file(guest):
    signature = read_signature(f"{guest}:Colour")
    assert list(signature.options) == ["bins", "space"]
    assert signature.options["bins"].default == 8
    assert signature.options["space"].default is REQUIRED
    assert signature.options["space"].annotation == "str"
    assert signature.summary == "Mean colour of the image."
    assert read_signature(f"{guest}:make").options["sigma"].default == 0.5


def test_a_guests_version_follows_its_code_but_not_its_comments(tmp_path):
    versions = []
    for number, text in enumerate([GUEST, GUEST + "\n# a remark\n", GUEST.replace("= 8", "= 9")]):
        path = tmp_path / f"guest_{number}.py"
        path.write_text(text)
        versions.append(read_signature(f"{path}:Colour").version)
    assert versions[0] == versions[1] != versions[2]
    assert versions[0].startswith("3+")


def test_loading_a_guest_runs_it_once(guest):
    registry = Registry([Entry("prior", "colour", f"{guest}:Colour")])
    assert registry.load("prior", "colour") is registry.load("prior", "colour")
    assert registry.load("prior", "colour")(None, space="lab").bins == 8


def test_unknown_names_get_near_misses():
    registry = Registry([Entry("backbone", "nafnet", "x:Y")])
    with pytest.raises(UnknownName, match="did you mean 'nafnet'"):
        registry.get("backbone", "nafnet2")


def test_a_name_is_given_once():
    with pytest.raises(HarnessError, match="named twice"):
        Registry([Entry("prior", "a", "x:Y")]).extended([Entry("prior", "a", "z:W")])
    assert Registry([Entry("prior", "a", "x:Y")]).extended([Entry("task", "a", "z:W")]).names("task") == ["a"]


def test_a_missing_attribute_is_said(guest):
    with pytest.raises(AttributeError, match="Nothing"):
        read_signature(f"{guest}:Nothing")
