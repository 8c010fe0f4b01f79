"""What Python may see otherwise than a reader of the source, and what no suite could use, is refused at its line."""

from __future__ import annotations

import pytest

from harness.api.declaration import read_declaration
from harness.api.prior import PriorTraits
from harness.core.registry import Entry
from harness.core.source import source_path
from harness.parts.catalogue import REGISTRY
from tests.unit.api.sources import mistakes

P = "class P:\n    traits = PriorTraits()\n"
AGAIN = "is bound or changed here, so what it is cannot be known without running the file"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        # traits
        (P + "    traits = PriorTraits(version=2)", 13, f"traits {AGAIN}"),
        (P + "    if True:\n        traits = PriorTraits(version=2)", 14, f"traits {AGAIN}"),
        (P + "    try:\n        from somewhere import traits\n    except ImportError: ...", 14, f"traits {AGAIN}"),
        (P + "    def traits(self): ...", 13, f"traits {AGAIN}"),
        (P + "    for traits in (): ...", 13, f"traits {AGAIN}"),
        (P + "    with x as (y, traits): ...", 13, f"traits {AGAIN}"),
        (P + "    x = (traits := 3)", 13, f"traits {AGAIN}"),
        (P + "    del traits", 13, f"traits {AGAIN}"),
        (P + "    traits |= 3", 13, f"traits {AGAIN}"),
        ("class P:\n    traits = other = PriorTraits()", 12, f"traits {AGAIN}"),
        (P + "P.traits = PriorTraits(version=2)", 13, "this changes P after it is made"),
        (P + "def later():\n    P.traits = 3", 14, "this changes P after it is made"),
        (P + "del P.traits", 13, "this changes P after it is made"),
        (P + "P.__init__ = make", 13, "this changes P after it is made"),
        (P + "setattr(P, 'traits', 3)", 13, "this changes P after it is made"),
        (P + "    def __init__(self):\n        self.traits = 3", 14, "this changes P after it is made"),
        # the class
        (P + P, 11, f"P {AGAIN}"),
        (P + "P = wrap(P)", 13, f"P {AGAIN}"),
        (P + "x = [P := y for y in ()]", 13, f"P {AGAIN}"),
        (P + "if True:\n    class P: ...", 14, f"P {AGAIN}"),
        (P + "def later():\n    global P\n    P = 3", 14, f"P {AGAIN}"),
        (P + "from elsewhere import *", 13, f"P {AGAIN}"),
        (P + "match 3:\n    case {'a': [P, *_]}: ...", 14, f"P {AGAIN}"),
        ("@dataclass\n" + P, 11, "a part's class is not decorated: what a decorator makes cannot be read"),
        ("class P(metaclass=M):\n    traits = PriorTraits()", 11, "no metaclass and no keywords"),
        # the constructor
        (P + "    def __init__(self): ...\n    def __init__(self, *, x: int = 1): ...", 14, "P has two constructors"),
        (P + "    def __new__(cls): ...\n    def __init__(self, *, x: int = 1): ...", 13, "P has two constructors"),
        (P + "    __init__ = make", 13, "the constructor of P is not a plain `def`"),
        (P + "    async def __init__(self): ...", 13, "the constructor of P is not a plain `def`"),
        (P + "    if True:\n        def __init__(self): ...", 14, "the constructor of P is not a plain `def`"),
        (P + "    @wraps(f)\n    def __init__(self): ...", 13, "the constructor of P is decorated"),
        (P + "    def __init__(self, *sizes: int): ...", 13, "options are named one by one, not taken as *"),
        # the names that traits are made of
        ("V = 1\nV += 1\nclass P:\n    traits = PriorTraits(version=V)", 12, f"V {AGAIN}"),
        ("V = 1\nW = V\nfor V in (): ...\nclass P:\n    traits = PriorTraits(version=W)", 13, f"V {AGAIN}"),
        ("V = 1\nclass P:\n    V = 2\n    traits = PriorTraits(version=V)", 13, f"V {AGAIN}"),
        ("PriorTraits = make\n" + P, 13, "PriorTraits is not, or not only, the PriorTraits of harness.api.prior"),
        ("class P:\n    PriorTraits = make\n    traits = PriorTraits()", 12, f"PriorTraits {AGAIN}"),
        ("class P:\n    traits = prior.PriorTraits()", 12, "PriorTraits is not, or not only"),
        ("import harness.api.prior as prior\nclass P:\n    traits = prior.PriorTraits()", 13, "PriorTraits is not"),
        ("from harness.api.prior import PriorTraits as PT\nclass P:\n    traits = PT()", 13,
         "a prior declares PriorTraits, not PT()"),
        ("class P:\n    traits = PriorTraits(conflicts=(Conflict((Unless('x', 1),), 'no'),))\n"
         "    def __init__(self, *, x: int = 1): ...", 12, "Unless is not, or not only, the Unless of"),
    ],
)  # fmt: skip
def test_what_python_may_see_otherwise_is_refused(source, text: str, line: int, what: str) -> None:
    found = mistakes("prior", f"{source(text)}:P")
    assert [(at, said) for at, said, _ in found if at == line and what in said], found


@pytest.mark.parametrize(
    "text",
    [
        "import harness.api.prior\nimport harness.api.loss\nclass P:\n    traits = harness.api.prior.PriorTraits()",
        "from harness.api import prior\nclass P:\n    traits = prior.PriorTraits()",
        "V: Final = 1\nclass P:\n    traits: ClassVar[PriorTraits]\n    traits = PriorTraits(version=V)\n"
        "    def grown(self):\n        traits = V = P = 3\n        return [V for V in ()]",
    ],
)
def test_plain_ways_to_write_it_are_read(source, text: str) -> None:
    assert read_declaration("prior", f"{source(text)}:P").traits == PriorTraits()


@pytest.mark.parametrize("entry", [e for e in REGISTRY.entries() if e.kind not in ("executor", "tracker")], ids=str)
def test_built_in_parts_hold_to_what_plug_ins_are_held_to(entry: Entry) -> None:
    module, _, attribute = entry.target.partition(":")
    read = read_declaration(entry.kind, f"{source_path(module)}:{attribute}")
    assert read.traits == read_declaration(entry.kind, entry.target).traits


INIT = "    def __init__(self, *, x: int = 1, mode: str = 'a', path: LocalFile | None = None): ..."


@pytest.mark.parametrize(
    ("kind", "text", "line", "what"),
    [
        # literals
        ("refiner", "class P:\n    traits = RefinerTraits(losses=(LossUse('l1', options={[1]: 2}),))", 12,
         "a list, dict or set cannot be a key or in a set"),
        ("refiner", "class P:\n    traits = RefinerTraits(losses=(LossUse('l1', options={'a': {[1]}}),))", 12,
         "a list, dict or set cannot be a key or in a set"),
        ("prior", P + "    def __init__(self, *, x: dict = {[1]: 2}): ...", 13, "the default of the option 'x' is not"),
        # defaults and annotations
        ("prior", P + "    def __init__(self, *, x: int = 'a'): ...", 13,
         "the default of the option 'x': expected a whole number, not 'a'"),
        ("prior", P + "    def __init__(self, *, x: int = None): ...", 13, "expected a whole number, not nothing"),
        ("prior", P + "    def __init__(self, *, x: object = b'a'): ...", 13, "nothing that a suite could give: b'a'"),
        ("prior", P + "    def __init__(self, *, x: float = 1e999): ...", 13, "nothing that a suite could give: inf"),
        ("prior", P + "    def __init__(self, *, x: Tensor): ...", 13, "the annotation of the option 'x': 'Tensor'"),
        ("prior", P + "    def __init__(self, *, x: 5): ...", 13, "'5' is not a type"),
        ("prior", P + "    def __init__(self, *, x: 'list['): ...", 13, "is not a type"),
        # names that suites mean otherwise
        ("prior", P + "    def __init__(self, *, name: str = 'a'): ...", 13, "cannot be called 'name'"),
        ("prior", P + "    def __init__(self, *, label: str = 'a'): ...", 13, "cannot be called 'label'"),
        ("loss", "class P:\n    traits = LossTraits()\n    def __init__(self, *, weight: float = 1.0): ...", 13,
         "an option of a loss cannot be called 'weight'"),
        ("backbone", "class P:\n    traits = BackboneTraits()\n    def __init__(self, *, weights: str = ''): ...", 13,
         "an option of a backbone cannot be called 'weights'"),
        # conflicts and conditions
        *[("prior", f"class P:\n    traits = PriorTraits(conflicts=(\n        Conflict({conflict}),))\n{INIT}",
            line, what)
          for conflict, line, what in (
              ("(When('x', 1),), 'no {'", 13, "Conflict: Single '{' encountered in format string"),
              ("(When('x', 1),), 'no {x:d}'", 13, "only the name of an option stands in braces"),
              ("(When('x', 1),), 'no', '{x.real}'", 13, "only the name of an option stands in braces"),
              ("(When('x', 1),), 'no {}'", 13, "only the name of an option stands in braces"),
              ("(When('x', 1),), 'no {x!s}'", 13, "only the name of an option stands in braces"),
              ("(When('x', 1),), 'no {y}'", 11, "the traits speak of the option 'y', which P does not have"),
              ("(), 'no'", 13, "when is empty"),
              ("(When('x', [1, 2]),), 'no'", 13, "When: several values are a tuple"),
              ("(When(),), 'no'", 13, "When: missing a required argument: 'option'"),
          )],
        # files
        ("prior", f"class P:\n    traits = PriorTraits(weights=(OwnFile('mode'),))\n{INIT}", 11,
         "the traits call the option 'mode' a file, and its annotation does not"),
        # fields with a range
        ("metric", "class P:\n    traits = MetricTraits(higher_is_better=True, decimals=13)", 12, "0 to 12, not 13"),
        ("metric", "class P:\n    traits = MetricTraits(higher_is_better=True, decimals=-1)", 12, "from 0 to 12"),
        ("backbone", "class P:\n    traits = BackboneTraits(stages=(StageUse(-0.25), StageUse(1.25)))", 12,
         "the share of a stage is a positive number, not -0.25"),
        ("backbone", "class P:\n    traits = BackboneTraits(losses=(LossUse('l1', -1.0),))", 12,
         "the weight of a loss is a number from 0 on, not -1"),
        ("backbone", "class P:\n    traits = BackboneTraits(losses=(LossUse('l1', 0.0),))", 12,
         "the loss l1 weighs nothing"),
        *[("task", f"class P:\n    traits = TaskTraits(degradation='rain', protocol=EvaluationProtocol({given}))",
            12, what)
          for given, what in (
              ("'a b', 1", "the name of a protocol has letters, digits, _ and -, not 'a b'"),
              ("'', 1", "the name of a protocol has"),
              ("'mine', 0", "version is a whole number from 1 on, not 0"),
              ("'mine', 1, border=-1", "border is a number of pixels from 0 on, not -1"),
              ("'mine', '1'", "version: expected a whole number"),
          )],
        ("task", "class P:\n    traits = TaskTraits(degradation='rain', protocol='sidd', weights=(Published('a'),))",
         12, "a task needs no weights"),
        ("task", "class P:\n    traits = TaskTraits(degradation='rain', protocol='y_matlab', options=('x',),\n"
         "        conflicts=(Conflict((When('y', 1),), 'no'),))", 11, "the traits speak of the option 'y'"),
    ],
)  # fmt: skip
def test_values_that_no_suite_could_use_are_refused(source, kind: str, text: str, line: int, what: str) -> None:
    found = mistakes(kind, f"{source(text)}:P")
    assert [(at, said) for at, said, _ in found if at == line and what in said], found
