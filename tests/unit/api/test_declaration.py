"""What parts declare is read as it is written, or refused with file, line and a way out: never misread."""

from __future__ import annotations

import pytest

from harness.api.declaration import declaration, read_declaration
from harness.api.prior import PriorTraits
from harness.api.traits import Above, Conflict, FromOption, LossUse, OwnFile, Published, StageUse, Unless, When
from harness.core.errors import SpecErrors
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import REGISTRY
from tests.unit.api.sources import mistakes


def test_everything_that_can_be_declared_is_read(source) -> None:
    file = source("""
        PLACES = ("image", "features")

        class Refine(object):
            "Refines."
            traits: ClassVar[RefinerTraits] = RefinerTraits(
                version=7,
                placements=PLACES,
                edits="decoder",
                needs_prior=False,
                reads_truth=When("semantics", ("truth", "both")),
                losses=(LossUse("l1", 2), LossUse(name="mse", weight=0.5, options={"reduction": "sum"})),
                stages=(StageUse(0.25, ("inner",), (LossUse("l1"),)), StageUse(0.75)),
                weights=(OwnFile("file"), Published("a/b", when=(When("file", None),))),
                conflicts=(Conflict((When("semantics", "both"),), "no {semantics}"),),
            )

            def __init__(self, channels, *, semantics: str = "input", file: LocalFile | None = None) -> None: ...
        """)
    found = read_declaration("refiner", f"{file}:Refine")
    traits = found.traits
    assert (traits.version, traits.placements, traits.edits) == (7, ("image", "features"), "decoder")
    assert traits.losses == (LossUse("l1", 2), LossUse("mse", 0.5, {"reduction": "sum"}))
    assert traits.stages == (StageUse(0.25, ("inner",), (LossUse("l1"),)), StageUse(0.75))
    assert traits.weights == (OwnFile("file"), Published("a/b", (When("file", None),)))
    assert traits.reads_truth.holds({"semantics": "both"})
    assert found.summary == "Refines."
    assert list(found.options) == ["semantics", "file"]
    assert found.version.startswith("7+")


@pytest.mark.parametrize(
    ("kind", "text", "line", "what", "hint"),
    [
        # no traits, or those of another kind
        ("prior", "class P:\n    x = 1", 11, "P declares no traits of its own", "traits = PriorTraits()"),
        ("prior", "class P:\n    traits = LossTraits()", 12, "a prior declares PriorTraits, not LossTraits()", ""),
        ("prior", "class P:\n    traits = make()", 12, "a prior declares PriorTraits, not make()", ""),
        ("prior", "def P(*, x: int = 1): ...", 11, "a prior is a class, and P is a function", ""),
        ("prior", "class Q: ...", 1, "this file defines no class 'P'", "known: Q"),
        # a subclass would lose what its parent declares
        ("refiner", "class P(Other):\n    def __init__(self, dim, *, x: int = 1): ...", 11,
         "P declares no traits of its own", "traits = RefinerTraits()"),
        ("refiner", "class P(Other):\n    traits = RefinerTraits()", 11,
         "P has no constructor of its own, so its options would be those of Other, unseen", "with every option in it"),
        # versions
        ("prior", "VERSION: Final = 7\nclass P:\n    traits = PriorTraits()", 11,
         "VERSION is not read here: a part says it in its traits", "traits = PriorTraits(version=…)"),
        ("prior", "VERSION = 3 + 4\nclass P:\n    traits = PriorTraits()", 11, "VERSION is not read here", ""),
        ("prior", "class P:\n    VERSION = 7\n    traits = PriorTraits()", 12, "VERSION is not read here", ""),
        ("prior", "class P:\n    traits = PriorTraits(version=6 + 1)", 12, "6 + 1 is not a literal", ""),
        ("prior", "class P:\n    traits = PriorTraits(version='7')", 12, "expected a whole number, not '7'", "write 7"),
        ("prior", "class P:\n    traits = PriorTraits(version=0)", 12,
         "version is a whole number from 1 on, not 0", ""),
        # unknown, misplaced and mistyped fields
        ("prior", "class P:\n    traits = PriorTraits(\n        derived=True,\n        verison=2,\n    )", 14,
         "PriorTraits has no 'verison'", "did you mean 'version'?"),
        ("prior", "class P:\n    traits = PriorTraits(2)", 12, "PriorTraits takes keywords", ""),
        ("prior", "class P:\n    traits = PriorTraits(**EXTRA)", 12, "not taken from **", ""),
        ("refiner", "class P:\n    traits = RefinerTraits()\n    needs_prior = False", 13,
         "needs_prior is not read here", "traits = RefinerTraits(needs_prior=…)"),
        ("refiner", "class P:\n    traits = RefinerTraits()\n    reads = 'pair'", 13,
         "reads is not read here", "remove it"),
        ("metric", "class P:\n    traits = MetricTraits(higher_is_better=True)\n    name = 'other'", 13,
         "name is not read here", "a part's name is the one in its catalogue line"),
        ("metric", "class P:\n    traits = MetricTraits()", 12, "missing 1 required argument: 'higher_is_better'", ""),
        ("loss", "class P:\n    traits = LossTraits()\n    @staticmethod\n    def weights(): ...", 14,
         "weights is not read here", "Published("),
        ("loss", "class P:\n    traits = LossTraits(reads='degraded')", 12, "a loss that takes images reads pairs", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(placements=['image'])", 12, "expected a tuple, not a list",
         "write (a, b), or (a,) for one"),
        ("refiner", "class P:\n    traits = RefinerTraits(losses=(LossUse('l1', 'much'),))", 12,
         "LossUse: weight: expected a number, not 'much'", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(losses=(LossUse('l1', refined_weight=2.0),))", 12,
         "a refiner's loss l1 reads the final restoration alone", ""),
        ("backbone", "class P:\n    traits = BackboneTraits(losses=(LossUse('l1', 0.0),))", 12,
         "the loss l1 weighs nothing", ""),
        ("backbone", "class P:\n    traits = BackboneTraits(reads_truth_at_test=When('ratio', 'truth'))", 11,
         "the traits speak of the option 'ratio', which P does not have", ""),
        ("backbone", "class P:\n    traits = BackboneTraits(from_task=('sigma',))\n"
         "    def __init__(self, *, sigmas: float = 1.0): ...", 11,
         "the traits speak of the option 'sigma', which P does not have", "did you mean 'sigmas'?"),
        ("degradation", "class P:\n    traits = DegradationTraits(quantised=True, draws=('seed0',))", 12,
         "draws holds 'named'", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(losses=(made('l1'),))", 12, "made cannot be called here", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(placements=ELSEWHERE)", 12, "ELSEWHERE is not a literal", ""),
        ("backbone", "class P:\n    traits = BackboneTraits(stages=(StageUse(0.5),))", 12,
         "must add up to 1; these add up to 0.5", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(passes=2)", 12,
         "more than one of `passes` is for a refiner that edits the decoder", ""),
        ("refiner", "class P:\n    traits = RefinerTraits(edits='decoder', passes=0)", 12,
         "passes is a whole number from 1 on, not 0", ""),
        # conditions on options that are not there
        ("refiner", "class P:\n    traits = RefinerTraits(reads_truth=When('semantic', 'truth'))\n"
         "    def __init__(self, *, semantics: str = 'input'): ...", 11,
         "the traits speak of the option 'semantic', which P does not have", "did you mean 'semantics'?"),
        ("degradation", "class P:\n    traits = DegradationTraits(quantised=True, conflicts=(\n"
         "        Conflict((Above('low', FromOption('hihg')),), 'no'),))\n"
         "    def __init__(self, *, low: int = 1, high: int = 2): ...", 11,
         "the traits speak of the option 'hihg', which P does not have", "did you mean 'high'?"),
        ("prior", "Count = int\n\nclass P:\n    traits = PriorTraits()\n"
         "    def __init__(self, *, x: Count = 1): ...", 15,
         "Count in the annotation of 'x' has another meaning in this file", "rename it"),
        ("prior", "class P:\n    traits = PriorTraits(rules=(Rule('hihg > low', 'no'),))\n"
         "    def __init__(self, *, low: int = 1, high: int = 2): ...", 11,
         "the traits speak of the option 'hihg', which P does not have", "did you mean 'high'?"),
        ("prior", "class P:\n    traits = PriorTraits(rules=(Rule('low.real > 0', 'no'),))\n"
         "    def __init__(self, *, low: int = 1): ...", 12,
         "Rule: 'low.real > 0' holds more than numbers, options and", ""),
        ("prior", "class P:\n    traits = PriorTraits(rules=(Rule('1 > 0', 'no'),))", 12,
         "Rule: '1 > 0' names no option", ""),
        # constructors
        ("prior", "class P:\n    traits = PriorTraits()\n    def __init__(self, **options): ...", 13,
         "not taken as **", ""),
        ("prior", "class P:\n    traits = PriorTraits()\n    def __init__(self, *, x=1): ...", 13,
         "the option 'x' has no annotation", ""),
        ("prior", "class P:\n    traits = PriorTraits()\n    def __init__(self, *, x: int = f()): ...", 13,
         "the default of the option 'x' is not a literal: f()", ""),
        ("task", "class P:\n    traits = TaskTraits(degradation='rain', protocol='rgb_uint8')\n"
         "    def __init__(self): ...", 13, "a task is its traits alone", ""),
        ("task", "class P:\n    traits = TaskTraits(protocol='rgb_uint8')", 12, "missing 1 required argument", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(source, kind: str, text: str, line: int, what: str, hint: str) -> None:
    found = mistakes(kind, f"{source(text)}:P")
    assert [(at, said) for at, said, _ in found if at == line and what in said], found
    assert any(hint in tried for at, _, tried in found if at == line), found


def test_truth_can_be_read_unless_an_option_says_otherwise(source) -> None:
    file = source("""
        from harness.api.traits import Unless

        class P:
            traits = RefinerTraits(reads_truth=Unless("mode", "input"))
            def __init__(self, channels, *, mode: str = "input") -> None: ...
        """)
    assert read_declaration("refiner", f"{file}:P").traits.reads_truth.holds({"mode": "truth"})


def test_conflicts_tell_the_values_of_options() -> None:
    conflict = Conflict((When("x", 1),), "{{no}} {x!r}", "not {y}")
    assert conflict.told({"x": "a"}) == ("{no} 'a'", "not None")


def test_several_mistakes_come_together(source) -> None:
    file = source("""
        VERSION: Final = 7

        class P(Module):
            losses = ()
            traits = RefinerTraits(placments=("image",), needs_prior="no")
        """)
    assert sorted(line for line, _, _ in mistakes("refiner", f"{file}:P")) == [12, 14, 15, 16, 16]


def test_a_task_offers_its_degradations_options_with_its_own_defaults(source) -> None:
    file = source("""
        from harness.api.degradation import DegradationTraits

        class Noise:
            traits = DegradationTraits(quantised=False)
            def __init__(self, *, sigma: float = 25.0, clip: bool = False) -> None: ...

        class Strong:
            traits = TaskTraits(degradation="noise", options=("sigma",), settings={"sigma": 50.0}, protocol="rgb_uint8")

        class Wrong:
            traits = TaskTraits(degradation="noise", options=("sgima",), protocol="rgb_uint8")
        """)
    kinds = {"noise": ("degradation", "Noise"), "strong": ("task", "Strong"), "wrong": ("task", "Wrong")}
    registry = Registry([Entry(kind, name, f"{file}:{cls}") for name, (kind, cls) in kinds.items()])
    options = declaration(registry, "task", "strong").options
    assert {name: option.default for name, option in options.items()} == {"sigma": 50.0}
    assert options["sigma"].annotation == "float"
    with pytest.raises(SpecErrors, match=r"the degradation noise has no option 'sgima' · try: did you mean 'sigma'\?"):
        declaration(registry, "task", "wrong")


@pytest.mark.parametrize(
    ("protocol", "what", "hint"),
    [
        ("'rgb_uint'", "no protocol is called 'rgb_uint'", "'rgb_uint8'"),
        ("EvaluationProtocol('rgb_uint8', 1, border=4)", "rgb_uint8 is the name of a built-in protocol", "its own"),
    ],
)
def test_a_tasks_protocol_is_known_or_has_a_name_of_its_own(source, protocol: str, what: str, hint: str) -> None:
    file = source(f"class P:\n    'A task.'\n    traits = TaskTraits(degradation='rain', protocol={protocol})")
    with pytest.raises(SpecErrors) as caught:
        declaration(REGISTRY.extended([Entry("task", "p", f"{file}:P")]), "task", "p")
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (file, 13)
    assert what in problem.what
    assert hint in problem.hint


def test_conflicts_of_a_task_speak_of_the_options_that_it_offers(source) -> None:
    file = source("""
        class P:
            traits = TaskTraits(degradation="rain", protocol="y_matlab", options=("length",),
                                conflicts=(Conflict((When("length", 3),), "no {length}"),))
        """)
    assert read_declaration("task", f"{file}:P").traits.conflicts[0].options == ("length",)


def test_conditions_hold_for_values_and_for_options_that_are_left_out() -> None:
    assert When("x", None).holds({})
    assert When("x", (1, 2)).holds({"x": 2})
    assert not When("x", (1, 2)).holds({"x": 3})
    assert Above("x", FromOption("y")).holds({"x": 3, "y": 2})
    assert not Above("x", FromOption("y")).holds({"x": 2, "y": 2})
    assert not Above("x", FromOption("y")).holds({"x": 2})
    assert Unless("x", (1, 2)).holds({"x": 3})
    assert not Unless("x", 1).holds({"x": 1})


def test_traits_are_immutable_values() -> None:
    assert PriorTraits(version=2) == PriorTraits(version=2) != PriorTraits()
    with pytest.raises(AttributeError):
        PriorTraits().version = 3  # type: ignore[misc]
    assert FromOption("x") != OwnFile("x")
    assert Conflict((When("x", 1),), "no").when[0].holds({"x": 1})
