"""The protocol that a task is scored under."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.api.declaration import declaration
from harness.api.degradation import Draw
from harness.api.protocols import (
    NOISE_SEED0,
    PROTOCOLS,
    RGB_FLOAT,
    RGB_UINT8,
    RGB_UINT8_SSIM3D,
    SIDD,
    Y_MATLAB,
    known_protocols,
    protocol_of,
    protocols_of,
)
from harness.api.reference import PartRef
from harness.api.sets import Samples
from harness.api.task import EvaluationProtocol, present, present_label
from harness.cells.cell import Cell, evaluation_id
from harness.core.errors import SpecErrors, UnknownName
from harness.core.identity import digest
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import REGISTRY

TASKS = '''
from harness.api.task import EvaluationProtocol, TaskTraits

class Own:
    """Scored in its own way."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=4))

class Same:
    """Scored in the same way."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=4))

class Other:
    """Scored in another way of the same name."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=8))

class Misspelt:
    """Names a protocol that does not exist."""

    traits = TaskTraits(degradation="rain", protocol="rgb_uint")

class Drawn:
    """Wants noise of a degradation that cannot be drawn so."""

    traits = TaskTraits(degradation="rain", protocol="noise_seed0")

class Undrawn:
    """Wants noise, and makes no inputs."""

    traits = TaskTraits(degradation=None, protocol="noise_seed0")
'''


NAMES = ("Own", "Same", "Other", "Misspelt", "Drawn", "Undrawn")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    file = tmp_path / "tasks.py"
    file.write_text(TASKS)
    return REGISTRY.extended([Entry("task", name.lower(), f"{file}:{name}") for name in NAMES])


def test_a_task_names_one(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="low_light")) is RGB_UINT8
    assert protocol_of(registry, PartRef(name="derain", options={"length": 30})) is Y_MATLAB


def test_a_task_brings_its_own(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="own")) == EvaluationProtocol("mine", 3, border=4)


def test_a_suites_protocols_stand_in_place_of_the_tasks_own(registry: Registry) -> None:
    photos = PartRef(name="photos")
    assert protocols_of(registry, PartRef(name="derain"), photos, ()) == (Y_MATLAB,)
    assert protocols_of(registry, PartRef(name="derain"), photos, (SIDD, RGB_UINT8)) == (SIDD, RGB_UINT8)


FIELD = '''
from harness.api.dataset import DatasetTraits
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

class Fog:
    """Scored in a way of its own."""

    traits = DatasetTraits(
        licence="none", pairs=True,
        source=Source(
            title="Fog", page="-", citation="-", size="-", counts={}, protocol="PROTOCOL",
            tasks=("derain", "low_light"),
            layouts=(Layout(name="official", of="nobody", splits={"test": Files(lq=("a/*",), gt=("b/*",))}),),
        ),
    )
'''


def with_fog(tmp_path: Path, protocol: str) -> Registry:
    file = tmp_path / f"{protocol}.py"
    file.write_text(FIELD.replace("PROTOCOL", protocol))
    return REGISTRY.extended([Entry("dataset", "fog", f"{file}:Fog")])


def test_a_data_sets_own_stands_before_the_tasks_where_it_is_for_the_task(tmp_path: Path) -> None:
    registry, fog = with_fog(tmp_path, "rgb_float"), PartRef(name="fog")
    assert protocols_of(registry, PartRef(name="low_light"), fog, ()) == (RGB_FLOAT,)
    assert protocols_of(registry, PartRef(name="derain"), fog, (SIDD,)) == (SIDD,), "the suite's stand before both"
    assert protocols_of(registry, PartRef(name="motion_blur"), fog, ()) == (RGB_UINT8_SSIM3D,)
    assert protocols_of(registry, PartRef(name="low_light"), PartRef(name="of_a_lost_plug_in"), ()) == (RGB_UINT8,)


def test_a_data_set_that_names_no_protocol_is_told_the_nearest(tmp_path: Path) -> None:
    registry = with_fog(tmp_path, "y_matlap")
    with pytest.raises(UnknownName, match="no protocol is called 'y_matlap'") as caught:
        protocols_of(registry, PartRef(name="derain"), PartRef(name="fog"), ())
    assert (caught.value.where, caught.value.hint) == ("data set fog", "did you mean 'y_matlab'?")


def test_a_declaration_of_an_earlier_release_has_the_renamed_protocol(tmp_path: Path) -> None:
    registry, fog = with_fog(tmp_path, "y_uint8"), PartRef(name="fog")
    assert protocols_of(registry, PartRef(name="derain"), fog, ()) == (PROTOCOLS["y_matlab"],)


@pytest.mark.parametrize(
    ("name", "first", "found"),
    [("y_matlab", "y_uint8", "0b7500ca"), ("noise_seed0", "gaussian_field", "ddad8e2d")],
)
def test_a_renamed_protocol_is_hashed_by_its_first_name(name: str, first: str, found: str) -> None:
    """The digests are those of the release that had these names."""
    protocol = PROTOCOLS[name]
    assert protocol.identity()["name"] == first
    assert digest(protocol.identity(), 8) == found
    stored = replace(protocol, name=first)
    assert (present(stored), present_label(stored.label)) == (protocol, protocol.label)
    own = replace(stored, border=4)
    assert present(own) == own, "a plug-in's own, which scores in another way"


def test_a_suite_may_name_the_protocols_that_plug_ins_bring(registry: Registry) -> None:
    built_in = dict.fromkeys(PROTOCOLS.values(), ())
    assert known_protocols(REGISTRY) == built_in
    own, other = EvaluationProtocol("mine", 3, border=4), EvaluationProtocol("mine", 3, border=8)
    assert known_protocols(registry) == {**built_in, own: ("own", "same"), other: ("other",)}


def test_a_task_whose_degradation_cannot_be_drawn_so_is_refused(registry: Registry) -> None:
    with pytest.raises(SpecErrors, match="rain cannot draw its random numbers as noise_seed0 says") as caught:
        declaration(registry, "task", "drawn")
    (problem,) = caught.value.problems
    assert (problem.path, problem.hint) == ("Drawn.traits", "draw is one of named")


def test_fields_that_came_later_are_hashed_where_they_are_set_alone() -> None:
    """`draw` and `mean` came later: a protocol without them is the same as ever."""
    first = {"name": "p", "version": 1, "colour": "y", "rounding": "none", "border": 2, "ssim": "y"}
    assert EvaluationProtocol("p", 1, colour="y", rounding="none", border=2, ssim="y").identity() == first
    later = EvaluationProtocol("p", 1, colour="y", rounding="none", border=2, ssim="y", draw="seed0", mean="scene")
    assert later.identity() == first | {"draw": "seed0", "mean": "scene"}
    resized = EvaluationProtocol(
        "p", 1, colour="y", rounding="none", border=2, ssim="y", luma="float", ssim_rounding="uint8", read=(4, 6),
        through=(8, 9), align="ecc", gt_mean=True, used_by="nobody",
    )  # fmt: skip
    more = {"luma": "float", "ssim_rounding": "uint8", "read": (4, 6), "through": (8, 9), "align": "ecc"}
    assert resized.identity() == first | more | {"gt_mean": True}


def test_who_uses_a_protocol_is_no_part_of_it() -> None:
    one, other = EvaluationProtocol("p", 1, used_by="somebody"), EvaluationProtocol("p", 1)
    assert (one, hash(one), one.identity()) == (other, hash(other), other.identity())
    assert all(protocol.used_by for protocol in PROTOCOLS.values())


def test_no_two_protocols_score_alike_under_two_names() -> None:
    contents = [replace(protocol, name="any", version=1) for protocol in PROTOCOLS.values()]
    assert len(set(contents)) == len(PROTOCOLS)


@pytest.mark.parametrize("sides", [(0, 4), (4,), (4, 6.0), (True, 4)])
def test_sizes_are_whole_numbers_of_pixels(sides: Any) -> None:
    with pytest.raises(ValueError, match=r"read is \(height, width\) in pixels"):
        EvaluationProtocol("p", 1, read=sides)
    with pytest.raises(ValueError, match=r"through is \(height, width\) in pixels"):
        EvaluationProtocol("p", 1, through=sides)


def test_a_protocol_that_went_through_a_file_is_the_same() -> None:
    for protocol in PROTOCOLS.values():
        stored = TypeAdapter(EvaluationProtocol).dump_json(protocol)
        read = TypeAdapter(EvaluationProtocol).validate_json(stored)
        assert (read, hash(read), read.identity()) == (protocol, hash(protocol), protocol.identity())


def test_protocols_of_earlier_files_lack_what_came_later() -> None:
    stored = {"name": "y_uint8", "version": 1, "colour": "y", "rounding": "uint8", "border": 0, "ssim": "y"}
    read = TypeAdapter(EvaluationProtocol).validate_python(stored)
    assert read.identity() == stored
    assert read.label == "y_uint8/v1"


def test_another_draw_is_another_set_and_another_mean_another_evaluation() -> None:
    noise = PartRef(name="gaussian_noise", options={"sigma": 25.0}, drawn=True)
    task = PartRef(name="gaussian_denoise", derived_from=noise)
    cell = Cell(task=task, train=PartRef(name="photos"), backbone=None)
    test = cell.test_set(cell.train)
    named, drawn = test.samples(), test.samples(NOISE_SEED0.draw)
    assert (named.draw, drawn.draw) == ("named", "seed0")
    assert drawn.name != named.name
    assert drawn.stored == named.stored  # nothing is stored of either noise
    assert Samples.model_validate_json(named.model_dump_json(exclude={"draw"})) == named
    protocols = [EvaluationProtocol("p", 1), EvaluationProtocol("p", 1, mean="scene")]
    assert len({evaluation_id(cell, named, protocol) for protocol in protocols}) == 2
    assert evaluation_id(cell, named, RGB_UINT8) != evaluation_id(cell, drawn, RGB_UINT8)


@pytest.mark.parametrize("draw", ["named", "seed0"])
def test_images_of_a_data_set_have_one_draw(registry: Registry, draw: Draw) -> None:
    """Of a task without a degradation nothing is drawn, and so a protocol cannot say how."""
    cell = Cell(task=PartRef(name="real_denoise"), train=PartRef(name="folder"), backbone=None)
    assert cell.test_set(cell.train).samples(draw).draw == "named"
    with pytest.raises(SpecErrors, match="noise_seed0 says how test images are drawn"):
        declaration(registry, "task", "undrawn")


def test_unknown_names_get_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownName, match="no protocol is called 'rgb_uint'") as caught:
        protocol_of(registry, PartRef(name="misspelt"))
    assert caught.value.where == "task misspelt"
    assert "'rgb_uint8'" in caught.value.hint
    with pytest.raises(UnknownName, match="no task is called 'low_lite'"):
        protocol_of(registry, PartRef(name="low_lite"))
