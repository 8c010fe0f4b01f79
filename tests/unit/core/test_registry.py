import pytest

from harness.api.declaration import read_declaration
from harness.core.errors import HarnessError, SpecErrors, UnknownName
from harness.core.registry import Entry, Registry
from harness.core.source import REQUIRED

PLUGIN = '''
"""A plug-in."""
import numpy  # a plug-in may import what it likes: reading its declaration must not

from harness.api.degradation import DegradationTraits
from harness.api.prior import PriorTraits


class Colour:
    """Mean colour of the image."""

    traits = PriorTraits(version=3)

    def __init__(self, given, *, bins: int = 8, space: str) -> None:
        self.bins, self.space = bins, space


class Noise:
    """A degradation."""

    traits = DegradationTraits(quantised=True)

    def __init__(self, *, sigma: float = 0.5) -> None:
        self.sigma = sigma
'''


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return path


def test_a_declaration_is_read_without_running_the_file(plugin):
    found = read_declaration("prior", f"{plugin}:Colour")
    assert list(found.options) == ["bins", "space"]
    assert found.options["bins"].default == 8
    assert found.options["space"].default is REQUIRED
    assert found.options["space"].annotation == "str"
    assert found.summary == "Mean colour of the image."
    assert read_declaration("degradation", f"{plugin}:Noise").options["sigma"].default == 0.5


def test_a_plugins_version_follows_its_code_but_not_its_comments(tmp_path):
    versions = []
    for number, text in enumerate([PLUGIN, PLUGIN + "\n# a remark\n", PLUGIN.replace("= 8", "= 9")]):
        path = tmp_path / f"plugin_{number}.py"
        path.write_text(text)
        versions.append(read_declaration("prior", f"{path}:Colour").version)
    assert versions[0] == versions[1] != versions[2]
    assert versions[0].startswith("3+")


def test_loading_a_plugin_runs_it_once(plugin):
    registry = Registry([Entry("prior", "colour", f"{plugin}:Colour")])
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


def test_a_missing_attribute_is_said(plugin):
    with pytest.raises(SpecErrors, match="Nothing"):
        read_declaration("prior", f"{plugin}:Nothing")
