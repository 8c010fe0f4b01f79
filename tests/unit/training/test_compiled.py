"""Networks and losses as graphs: the same numbers as written, and what cannot be one says so and runs on.

Most tests trace graphs with their gradients and leave out Inductor, which takes a minute for a small network.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api.batch import Batch
from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.models.assemble import build_model
from harness.models.boundary import as_written
from harness.parts.catalogue import REGISTRY
from harness.parts.losses.charbonnier import Charbonnier
from harness.parts.ops.whole_batch import prepare
from harness.storage.copies import copy_of
from harness.training import tryout
from harness.training.compiled import SIZES, WORTH, Graphs, Made, compiles, worth
from harness.training.compiler import compiled_folder, compiler
from harness.training.engines.ddp import start_ddp
from harness.training.kept import CHANGES, DRAWS
from harness.training.objective import Objective, Term
from harness.training.passes import Passes
from harness.training.stages import Part, spans
from harness.training.step import Stepper
from harness.training.verdicts import Verdicts, followed, ran_as_graphs, told
from tests.small_world import RANDOM, TINY_NAFNET, small_cell
from tests.unit.parts.ops.ranks import together
from tests.unit.training.several import trained, trained_as_graphs

CPU = torch.device("cpu")
SMALL = {"width": 4, "long_blocks": 1, "prior_hidden": 8, "prior_width": 4}
"""Options of a small PTG-RM."""


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The compiler without Inductor."""
    monkeypatch.setattr(tryout, "BACKEND", "aot_eager")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with compiler(tmp_path, 1):
        yield
    torch.set_num_threads(threads)


class Training:
    """A cell's training on batches made up, as graphs or as written."""

    def __init__(self, cell: Cell, made: Made | None, *, halved: int = 0) -> None:
        model = build_model(cell, REGISTRY, 8 if cell.variant.prior else None)
        self.engine = start_ddp(cell.recipe.precision, gpus=0)
        model.train()
        span = spans(cell)[0]
        names = [name for name, value in model.named_parameters() if value.requires_grad]
        part = Part.after(None, span, cell, model, names, REGISTRY, self.engine)
        graphs = None if made is None else Graphs(part.passes, CPU, made, faster=False)
        if graphs is not None:
            part.passes.compute(graphs.how)
        self.cell, self.model, self.graphs = cell, model, graphs
        tells = bool(model.told)
        self.stepper = part.stepper(
            cell, None, gives_truth=model.reads_truth, tells_settings=tells, halved=halved, graphs=graphs
        )

    def losses(self, steps: int) -> list[float]:
        side = self.model.capabilities.fitting(16)
        found = []
        for step in range(1, steps + 1):
            random = torch.Generator().manual_seed(step)
            lq, gt = torch.rand(2, 4, 3, side, side, generator=random)
            prior = torch.rand(4, 8, generator=random) if self.cell.variant.prior else None
            settings = {name: torch.full((4,), 25.0) for name in self.model.told}
            found.append(float(self.stepper(Batch(lq, gt, prior, list("abcd"), settings=settings), step)))
        return found


def both(cell: Cell, steps: int, **changes: Any) -> tuple[Training, Training, Made]:
    """A training as written and as graphs, after some steps with the same losses."""
    made = Made()
    written, graphs = Training(cell, None, **changes), Training(cell, made, **changes)
    torch.testing.assert_close(
        torch.tensor(graphs.losses(steps)), torch.tensor(written.losses(steps)), rtol=2e-4, atol=1e-6
    )
    return written, graphs, made


def cell_of(backbone: PartRef = TINY_NAFNET, refiner: str = "", losses: Sequence[str] = (), **changes: Any) -> Cell:
    recipe: dict[str, Any] = {"steps": 40, "batch": 4, "patch": 16, **changes.pop("recipe", {})}
    if losses:
        recipe["losses"] = tuple(LossTerm(part=PartRef(name=name)) for name in losses)
    variant = Variant(refiner=PartRef(name=refiner, options=SMALL), prior=RANDOM, **changes) if refiner else Variant()
    return small_cell(backbone=backbone, recipe=Recipe(**recipe), variant=variant)


def same_weights(one: Training, other: Training) -> None:
    for (name, mine), (_, theirs) in zip(one.model.named_parameters(), other.model.named_parameters(), strict=True):
        # Adam's first steps go by the sign of a gradient, and some gradients are zero but for rounding.
        assert (mine - theirs).abs().max() < 2e-3, name


def test_thirty_steps_as_graphs_come_to_the_weights_of_thirty_as_written(traced: None) -> None:
    written, graphs, made = both(cell_of(), 30)
    assert made.parts == {"backbone": "compiled", "charbonnier": "compiled"}
    same_weights(written, graphs)
    record = made.record()
    assert record["seconds"] > 0
    assert record["speedup"] > 0


@pytest.mark.slow
def test_thirty_steps_behind_inductor_with_a_refiner(tmp_path: Path) -> None:
    with compiler(tmp_path, 1):
        written, graphs, made = both(cell_of(refiner="ptg_rm"), 30)
    assert made.parts == {"backbone": "compiled", "refiner": "compiled", "charbonnier": "compiled"}
    same_weights(written, graphs)


def test_every_part_runs_as_its_graph_and_is_called_with_its_guards(traced: None) -> None:
    made = Made()
    training = Training(cell_of(), made)
    training.losses(1)
    ran: list[str] = []
    graphs = training.graphs
    assert graphs is not None

    def counted(graph: Any) -> Any:
        def run(*given: Tensor) -> Any:
            ran.append("graph")
            return graph(*given)

        return run

    graphs._graphs = {key: counted(graph) for key, graph in graphs._graphs.items() if graph is not None}
    training.losses(1)
    assert ran == ["graph", "graph"]  # the backbone and the loss


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        (cell_of(refiner="ptg_rm", regime="frozen"), {"backbone": "compiled", "refiner": "compiled"}),
        (cell_of(refiner="ptg_rm", placement="features"), {"backbone": "the refiner edits its features inside"}),
        (
            cell_of(PartRef(name="zero_dce"), losses=("edge", "zero_dce")),
            {"backbone": "compiled", "edge": "compiled", "zero_dce": "it reads more than an image and its truth"},
        ),
    ],
)
def test_what_surrounds_a_network_decides(traced: None, cell: Cell, parts: dict[str, str]) -> None:
    _, _, made = both(cell, 2)
    assert parts.items() <= made.parts.items()


class Odd(nn.Module):
    """A network of one weight and a habit."""

    def __init__(self, habit: str) -> None:
        super().__init__()
        self.weight, self.habit, self.calls = nn.Parameter(torch.tensor(0.5)), habit, 0
        self.norm = nn.BatchNorm2d(3) if habit == "norm" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.habit == "breaks the graph":
            torch._dynamo.graph_break()
        if self.habit == "other numbers" and torch.compiler.is_compiling():
            return 1.001 * self.weight * x
        if self.habit == "other gradients" and torch.compiler.is_compiling():
            return self.weight * x + (self.weight - self.weight.detach())
        if self.habit == "raises in the compiler" and torch.compiler.is_compiling():
            raise ValueError("no graphs here")
        if self.habit == "drops":
            return self.weight * nn.functional.dropout(x)
        return self.weight * self.norm(x)


def odd(habit: str, made: Made, *, faster: bool = False) -> tuple[Passes, Graphs, Stepper]:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = Odd(habit)
            self.how: Any = None

        def forward(self, lq: Tensor, prior: Tensor | None) -> Any:
            from harness.api.batch import Restored

            return Restored(self.how(self.backbone, self.backbone)(lq))

    model = Around().train()
    prepare(model)
    passes = Passes(
        model,
        Objective([Term(1.0, Charbonnier(eps=1e-3), {"eps": 1e-3, "reduction": "mean"}, name="charbonnier")], 1.0),
    )
    graphs = Graphs(passes, CPU, made, faster=faster)
    model.how = graphs.how
    passes.compute(graphs.how)
    engine = start_ddp("fp32", gpus=0)
    engine.prepare(passes, torch.optim.SGD(model.parameters(), lr=0.0))
    return passes, graphs, Stepper(engine, passes, None, None, graphs=graphs)


def batch(images: int = 4, side: int = 8) -> Batch:
    lq, gt = torch.rand(2, images, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(lq, gt, None, [str(number) for number in range(images)])


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("breaks the graph", "graph_break"),
        ("raises in the compiler", "Unsupported: Observed exception"),
        ("other numbers", "the graph gives other numbers: result 0 by 1.0e-03"),
        ("other gradients", "the graph gives other numbers: the gradient of weight"),
    ],
)
def test_what_is_no_graph_runs_as_written_and_says_why_in_one_line(
    traced: None, habit: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made()
    _, _, stepper = odd(habit, made)
    with caplog.at_level(logging.INFO):
        loss = stepper(batch())
        assert float(stepper(batch(), 2)) == float(loss)
    expected = 0.5 * batch().lq_BCHW
    assert float(loss) == pytest.approx(float(Charbonnier(eps=1e-3)(expected, batch().gt_BCHW)))
    lines = [line for line in caplog.messages if line.startswith("backbone")]
    assert len(lines) == 1
    assert lines[0].startswith("backbone runs as written: ")
    assert said in lines[0].replace("torch._dynamo.graph_break()", "graph_break"), lines[0]
    assert "\n" not in lines[0]
    assert made.parts["backbone"] == lines[0].removeprefix("backbone runs as written: ")
    assert made.parts["charbonnier"] == "compiled"


def test_a_try_leaves_statistics_gradients_and_random_numbers_as_they_were(traced: None) -> None:
    _, graphs, stepper = odd("norm", Made())
    network: Any = stepper.passes.model.backbone
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    part = stepper._part(batch(), batch().lq_BCHW, _only_pass(4), 1)
    graphs.try_out((4, 3, 8, 8), part)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    stepper(batch())
    assert int(network.norm.num_batches_tracked) == 1
    assert not torch.equal(network.norm.running_mean, before["norm.running_mean"])


def _only_pass(images: int) -> Any:
    from harness.parts.ops.whole_batch import passes

    return passes(images)[0]


def test_a_graph_draws_the_random_numbers_of_the_code_as_written(traced: None) -> None:
    made, plain = Made(), Made()
    _, _, stepper = odd("drops", made)
    passes, _, written = odd("drops", plain)
    model: Any = passes.model
    model.how = as_written
    written = Stepper(written.engine, passes, None, None)
    assert float(stepper(batch())) == float(written(batch()))
    assert made.parts["backbone"] == "compiled"


def test_layers_that_look_over_a_batch_run_as_written_where_it_passes_in_parts(traced: None) -> None:
    for habit, reason in (("plain", "compiled"), ("norm", "it looks over a batch that passes in several parts")):
        made = Made()
        passes, graphs, stepper = odd(habit, made)
        shared = Stepper(stepper.engine, passes, 2, None, graphs=graphs)
        part = shared._part(batch(), batch().lq_BCHW, _first_of_two(), 1)
        graphs.try_out((2, 3, 8, 8), part)
        assert made.parts["backbone"] == reason


def _first_of_two() -> Any:
    from harness.parts.ops.whole_batch import passes

    return passes(2, rank=0, ranks=2)[0]


def test_auto_keeps_what_is_faster_alone(traced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, reason in ((2.0, "compiled"), (0.5, "the graph is no faster: 1000.0 ms, and 500.0 as written")):
        taken = iter([seconds, 1.0] * 2)
        monkeypatch.setattr(tryout, "_timed", lambda call, work, taken=taken: next(taken))
        made = Made()
        odd("plain", made, faster=True)[2](batch())
        assert made.parts["backbone"] == reason
        assert made.record()["speedup"] == max(1.0, seconds)


def test_further_sizes_than_a_few_run_as_written(traced: None, caplog: pytest.LogCaptureFixture) -> None:
    made = Made()
    _, graphs, stepper = odd("plain", made)
    with caplog.at_level(logging.INFO):
        for step in range(SIZES + 3):
            stepper(batch(side=4 + step), step + 1)
    assert sum(graph is not None for graph in graphs._graphs.values()) == 2 * SIZES
    assert caplog.messages.count(f"images of further sizes than {SIZES} run as written") == 1
    assert made.parts["backbone"] == "compiled"


def test_a_graph_that_would_be_made_anew_is_not(traced: None, caplog: pytest.LogCaptureFixture) -> None:
    made = Made()
    _, _, stepper = odd("plain", made)
    network: Any = stepper.passes.model.backbone
    stepper(batch())
    network.habit = "another"  # which the graph depends on
    with caplog.at_level(logging.INFO):
        stepper(batch(), 2)
        stepper(batch(), 3)
    assert (
        len([line for line in caplog.messages if line.startswith("backbone runs as written: what its graph was")]) == 1
    )
    assert "made anew" in made.parts["backbone"]
    assert "harness" not in made.parts["backbone"]


@pytest.mark.slow
def test_two_processes_train_as_graphs_as_one_does_as_written(tmp_path: Path) -> None:
    plain = cell_of(recipe={"optimizer": "sgd", "lr": 1e-3})
    drops = cell_of(
        PartRef(name="uformer", options={"img_size": 64, "embed_dim": 4, "depths": [1] * 9, "drop_rate": 0.1}),
        recipe={"optimizer": "sgd", "lr": 1e-3},
    )
    cells = {"plain": plain.model_dump_json(), "drops": drops.model_dump_json()}
    written = trained(0, 1, cells, 3)
    shares = together(trained_as_graphs, 2, tmp_path, cells, 3, tmp_path / "compiled")
    in_parts = "it looks over a batch that passes in several parts"
    for each in shares:
        assert each["plain"]["parts"] == {"backbone": "compiled", "charbonnier": "compiled"}
        assert each["drops"]["parts"] == {"backbone": in_parts, "charbonnier": "compiled"}
        for name in cells:
            torch.testing.assert_close(each[name]["losses"], written[name]["losses"], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(each[name]["state"], written[name]["state"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("run", "device", "ranks", "wanted"),
    [
        (Run(compile="off"), "cuda", 1, False),
        (Run(), "cpu", 1, False),
        (Run(), "cuda", 4, True),
        (Run(compile="on"), "cpu", 1, True),
        (Run(strategy="fsdp2"), "cuda", 2, False),
        (Run(strategy="fsdp2"), "cuda", 1, True),
        (Run(strategy="deepspeed"), "cuda", 2, False),
    ],
)
def test_when_a_training_is_compiled(run: Run, device: str, ranks: int, wanted: bool) -> None:
    assert compiles(run, torch.device(device), ranks) is wanted


def test_auto_leaves_short_trainings_alone() -> None:
    assert not worth("auto", WORTH - 1)
    assert worth("auto", WORTH)
    assert worth("on", 1)


def test_the_process_is_afterwards_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    limit = sys.getrecursionlimit()
    with compiler(tmp_path / "one", 1):
        sys.setrecursionlimit(limit + 1000)  # as Inductor does
    assert sys.getrecursionlimit() == limit
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert os.environ["TRITON_CACHE_DIR"] == "mine"
    first, second = compiler(tmp_path / "one", 1), compiler(tmp_path / "one", 1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "one")
    assert "TRITON_CACHE_DIR" not in os.environ
    second.__exit__(None, None, None)
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert os.environ["TRITON_CACHE_DIR"] == "mine"


def test_graphs_lie_beside_the_results_and_on_this_machine_for_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path / "stores"))
    plain = compiled_folder(Layout(tmp_path / "out", tmp_path / "data"))
    assert plain.parent == tmp_path / "out" / "compiled"
    copy = copy_of("s3://bucket/results")
    assert compiled_folder(Layout(copy.files, tmp_path / "data")) == copy.root / "compiled" / plain.name


class Keeps(nn.Module):
    """A network of one weight that keeps something of its calls."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.weight, self.what = nn.Parameter(torch.tensor(0.5)), what
        self.kept, self.count = torch.zeros(()), 0
        self.seen: dict[Any, Any] = {}
        self.list: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "a tensor":
            self.kept += 1
        if self.what == "a counter":
            self.count += 1
        if self.what == "a list":
            self.list.append(len(self.list))
        if self.what == "a cache":
            self.seen.setdefault(x.shape, torch.zeros(()))
        if self.what == "Python's draws":
            random.random()
        if self.what == "NumPy's draws":
            np.random.rand()
        return self.weight * x


@pytest.mark.parametrize("what", ["a tensor", "a counter", "a list", "a cache", "Python's draws", "NumPy's draws"])
def test_what_keeps_something_of_its_calls_runs_as_written_and_a_try_leaves_it(traced: None, what: str) -> None:
    made = Made()
    _, graphs, stepper = odd("plain", made)
    model: Any = stepper.passes.model
    model.backbone = network = Keeps(what)
    graphs._names = {id(network): "backbone"}
    graphs.try_out((4, 3, 8, 8), stepper._part(batch(), batch().lq_BCHW, _only_pass(4), 1))
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    graphs.try_out((4, 3, 8, 8), stepper._part(batch(), batch().lq_BCHW, _only_pass(4), 1))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # type: ignore[index]
    assert (float(network.kept), network.count, network.list, network.seen) == (0.0, 0, [], {})
    assert made.parts["backbone"] == (DRAWS if "draws" in what else CHANGES)


def test_a_later_attempt_follows_what_the_first_one_found(
    traced: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tryout, "_timed", lambda call, work: 1.0)  # no graph is faster
    first = Made()
    _, _, stepper = odd("plain", first, faster=False)
    for step in range(SIZES):
        stepper(batch(side=4 + step), step + 1)
    plain = told(first.verdicts, "cpu")
    later = Made(verdicts=followed([plain], 0, 1, "cpu"))
    _, graphs, stepper = odd("plain", later, faster=True)
    stepper(batch(side=4 + SIZES), 1)  # one size too many, though the first of this attempt
    assert not any(graphs._graphs.values())
    stepper(batch(side=4), 2)
    assert sum(graph is not None for graph in graphs._graphs.values()) == 2
    assert told(later.verdicts, "cpu") == plain

    refused = Made(verdicts=followed([told({0: Verdicts([(4, 3, 4, 4)], _all_refused(plain))}, "cpu")], 0, 1, "cpu"))
    _, graphs, stepper = odd("plain", refused)
    stepper(batch(side=4), 1)
    assert set(refused.parts.values()) == {"no compiler then"}

    monkeypatch.setattr(tryout, "_difference", lambda *given: "of another machine")
    lost = Made(verdicts=followed([plain], 0, 1, "cpu"))
    with caplog.at_level(logging.INFO):
        odd("plain", lost)[2](batch(side=4), 1)
    assert lost.parts["backbone"].endswith("(it was a graph before the training was cut off)")
    assert told(lost.verdicts, "cpu") == plain


def _all_refused(plain: dict[str, Any]) -> dict[str, str]:
    return dict.fromkeys(plain["stages"][0]["found"], "no compiler then")


def test_verdicts_of_other_processes_or_another_device_are_not_followed() -> None:
    plain = told({0: Verdicts([(1, 3, 4, 4)], {"a": ""})}, "cpu")
    assert followed([plain], 0, 1, "cpu") == {0: Verdicts([(1, 3, 4, 4)], {"a": ""})}
    assert not followed([plain], 0, 2, "cpu")
    assert not followed([plain], 0, 1, "cuda")
    assert ran_as_graphs([plain], 0)
    assert not ran_as_graphs([plain], 5)


def test_a_try_computes_the_backbone_itself_whoever_has_computed_it(traced: None) -> None:
    made = Made()
    passes, _, stepper = odd("plain", made)
    model: Any = passes.model
    model.one_pass = lambda *given: pytest.fail("shared in a try")
    whole = model.forward
    looked: list[Any] = []

    def looking(*given: Any) -> Any:
        looked.append(model.one_pass)
        return whole(*given)

    model.forward = looking
    shared = model.one_pass
    stepper(batch())
    assert looked == [None, shared]
    assert made.parts["backbone"] == "compiled"


def test_memory_that_runs_out_in_a_try_is_let_go(traced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, given: Any) -> Any:
        graphs.append(weakref.ref(graph))
        return graph.forward

    def full(call: Any, work: Any) -> float:
        held = torch.zeros(10)
        graphs.append(weakref.ref(held))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tryout, "_timed", full)
    network = Odd("plain")
    call = tryout.Call.of(network, network, (batch().lq_BCHW,), _only_pass(4), 0)
    found = tryout.tried(call, faster=False, backend=backend)  # type: ignore[arg-type]
    assert found.graph is None
    assert "out of memory" in found.reason
    assert len(graphs) == 2
    assert [each() for each in graphs] == [None, None]


def test_gradients_that_a_graph_cannot_compute_later_are_told_with_its_name(traced: None) -> None:
    made = Made()
    _, _, stepper = odd("plain", made)
    stepper(batch())
    network: Any = stepper.passes.model.backbone
    failing = _Failing(network.weight)
    graphs = stepper.graphs
    assert graphs is not None
    with pytest.raises(HarnessError, match=r"graph of backbone cannot compute its gradients.*broken") as error:
        failing.step(graphs, network)
    assert "compile: off" in error.value.hint
    with pytest.raises(ValueError, match="elsewhere"), graphs.backwards():
        raise ValueError("elsewhere")


class _Failing:
    """A graph whose gradients fail in code of the compiler's."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def step(self, graphs: Graphs, network: nn.Module) -> None:
        def broken(*given: Any) -> Any:
            raise RuntimeError("broken")

        code = compile("def call(f):\n    f()\n", "/x/torch/_inductor/made.py", "exec")
        space: dict[str, Any] = {}
        exec(code, space)

        class Backward(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x.clone()

            @staticmethod
            def backward(ctx: Any, gradient: Tensor) -> Tensor:
                space["call"](broken)
                return gradient

        loss = graphs._followed(network, Backward.apply(self.weight)).sum()
        with graphs.backwards():
            loss.backward()
