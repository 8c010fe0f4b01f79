"""What engines promise, in real processes over gloo: exchange, trust in nothing that Accelerate says, no drift."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.api.batch import Restored
from harness.api.running import Seat
from harness.core.errors import HarnessError
from harness.core.guests import MODULES
from harness.parts.losses.mse import MSE
from harness.training.device import start_accelerator
from harness.training.engines.ddp import DdpEngine, start_ddp
from harness.training.objective import Images, Objective, Term
from harness.training.passes import MicroBatch, Passes
from harness.training.resume import check_together, whole_weights
from tests.unit.parts.ops.ranks import together

pytestmark = pytest.mark.xdist_group("engines")  # its trainings are made once, for all tests


class Partly(nn.Module):
    """A network of which one part is frozen, and one comes into its outputs and into no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.read = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)

        self.register_buffer("seen", torch.full((3,), 0.5))

    def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None) -> Restored:
        x = self.used(self.frozen(lq_BCHW))
        return Restored(x, outputs={"beside": self.read(x)})


class Guests(nn.Module):
    """As if a plug-in defined it: with a layer of torch's, which keeps what one process saw."""

    __module__ = f"{MODULES}mine"

    def __init__(self, seen: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm.get_buffer("running_mean").fill_(seen)


def squares() -> Objective:
    return Objective([Term(1.0, MSE(), {"reduction": "mean"})], 1.0)


def prepared(seat: Seat) -> tuple[DdpEngine, Partly, MicroBatch]:
    torch.manual_seed(0)
    engine, model = start_ddp("fp32", gpus=0, seat=seat), Partly()
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=0.1)
    engine.prepare(Passes(model, squares()), optimizer)
    both = torch.rand(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    lq, gt = both[:, seat.rank :: seat.ranks]
    return engine, model, MicroBatch(lq, Images(lq, gt), ranks=seat.ranks)


def stepped(engine: DdpEngine, part: MicroBatch) -> float:
    """One step in two passes of the same images, of which the last alone is exchanged."""
    for last in (False, True):
        loss, _ = engine.forward(part, last=last)
        engine.backward(loss / 2)
    engine.step(0.1)
    return float(engine.mean(loss.detach()))


def work(rank: int, ranks: int) -> dict[str, Any]:
    """What one process sees."""
    engine, model, part = prepared(Seat(rank, ranks, rank, ranks, "", ""))
    found: dict[str, Any] = {"losses": [stepped(engine, part) for _ in range(3)], "checksum": engine.checksum()}
    large = {"whole": [torch.arange(5.0), ("a", {"n": torch.ones(2, 2, dtype=torch.bool)})], "empty": torch.empty(0)}
    found["spread"] = engine.spread(large if rank == 0 else None)
    found["gathered"] = engine.gather({"rank": rank})
    found["state"] = engine.optimizer_state()
    found["model"] = {name: value.clone() for name, value in engine.model_state().items()}
    check_together(engine, 3, (), [model])
    with torch.no_grad():
        model.get_buffer("seen").add_(1e-7 * rank)  # as cards of several kinds round
        check_together(engine, 3, (), [nn.Identity(), model])
        model.get_buffer("seen").add_(0.01 * rank)
    found["kept"] = _seen(lambda: check_together(engine, 9, (), [nn.Identity(), model]))
    guests = nn.Sequential(nn.Identity(), Guests(float(rank)))
    found["guests"] = _seen(lambda: check_together(engine, 9, (), [guests]))
    if rank == ranks - 1:
        with torch.no_grad():
            model.used.bias[0] += 1e-6
    for name, check in (("apart", check_together), ("burst", whole_weights)):
        if name == "burst" and rank == 0:
            with torch.no_grad():
                model.used.bias[0] = torch.inf
        found[name] = _seen(lambda: check(engine, 9))  # noqa: B023 - called at once
    engine.close()
    return found


def _seen(check: Callable[[], Any]) -> tuple[str, str] | None:
    try:
        check()
    except HarnessError as error:
        return error.kind, str(error)
    return None


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return together(work, 2, tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    engine, _, part = prepared(Seat())
    losses = [stepped(engine, part) for _ in range(3)]
    model = {name: value.clone() for name, value in engine.model_state().items()}
    return {"losses": losses, "state": engine.optimizer_state(), "model": model}


def test_two_step_as_one(one: dict[str, Any], two: list[dict[str, Any]]) -> None:
    assert two[0]["losses"] == two[1]["losses"] == pytest.approx(one["losses"], rel=1e-6)
    assert one["losses"][2] < one["losses"][0]
    for name, value in one["model"].items():
        torch.testing.assert_close(two[0]["model"][name], value, msg=name)
    assert two[0]["checksum"] == two[1]["checksum"]


def test_states_are_those_of_rank_0_by_the_networks_own_names(one: dict[str, Any], two: list[dict[str, Any]]) -> None:
    assert two[1]["state"] == two[1]["model"] == {}
    assert set(two[0]["state"]["state"]) == {"used.weight", "used.bias"}, "no gradient ever came to the others"
    assert set(two[0]["model"]) == set(Partly().state_dict())
    assert "params" not in two[0]["state"]["groups"][0]
    for name, moments in one["state"]["state"].items():
        torch.testing.assert_close(two[0]["state"]["state"][name]["exp_avg"], moments["exp_avg"])


def test_what_rank_0_gives_comes_to_all(two: list[dict[str, Any]]) -> None:
    for found in two:
        whole, (letter, inner) = found["spread"]["whole"]
        assert whole.tolist() == [0, 1, 2, 3, 4]
        assert (letter, inner["n"].tolist()) == ("a", [[True, True], [True, True]])
        assert found["spread"]["empty"].shape == (0,)
        assert found["gathered"] == [{"rank": 0}, {"rank": 1}]


def test_weights_that_came_apart_are_seen_by_all(two: list[dict[str, Any]]) -> None:
    for found in two:
        kind, said = found["apart"]
        assert kind == "worker_lost"
        assert "came apart: at step 9 there are 2 forms" in said


def test_buffers_that_came_apart_are_seen_by_all(two: list[dict[str, Any]]) -> None:
    for found in two:
        kind, said = found["kept"]
        assert kind == "worker_lost", "a part of the harness; a user's own is told as `plugin`"
        assert "Partly: its buffer seen came apart: at step 9 the processes have different values" in said
        kind, said = found["guests"]
        assert kind == "plugin"
        assert "Guests: its buffer 1.norm.running_mean came apart" in said


def test_a_weight_that_burst_on_rank_0_ends_all(two: list[dict[str, Any]]) -> None:
    assert [found["burst"][0] for found in two] == ["nan", "nan"]


@pytest.mark.parametrize(
    "said",
    [
        {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"PMI_SIZE": "4", "PMI_RANK": "3"},
        {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
        {"ACCELERATE_USE_DEEPSPEED": "true", "LOCAL_RANK": "0"},
        {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "3"},
        {"ACCELERATE_TORCH_DEVICE": "meta"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_the_seat_alone_says_who_trains(said: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Launchers leave variables by which Accelerate would wait for others, or divide weights, without a word."""
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    accelerator = start_accelerator("fp32", gpus=0)
    assert (accelerator.num_processes, accelerator.device.type) == (1, "cpu")
    assert (accelerator.mixed_precision, accelerator.gradient_accumulation_steps) == ("no", 1)
    assert accelerator.distributed_type.value == "NO"
    assert {name: os.environ[name] for name in said} == said


def test_a_gang_without_a_process_group_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no process group was begun"):
        start_ddp("fp32", gpus=0, seat=Seat(1, 2, 1, 2))


def test_a_second_preparation_lets_go_of_the_first() -> None:
    """As a stage that restarts does it: bf16 would be nested otherwise, and old moments would go on."""
    engine, model = start_ddp("bf16", gpus=0), Partly()
    passes = Passes(model, squares())
    lq = torch.rand(2, 3, 4, 4)
    for _ in range(2):
        engine.prepare(passes, torch.optim.Adam(model.parameters(), lr=0.1))
        assert engine.optimizer_state()["state"] == {}
        loss, restored = engine.forward(MicroBatch(lq, Images(lq, lq)))
        assert (loss.dtype, restored.initial_BCHW.requires_grad) == (torch.float32, False)
        engine.backward(loss)
        engine.step(None)
    engine.close()
    assert "forward" not in vars(passes)
    passes(MicroBatch(lq, Images(lq, lq)))


def test_moments_are_loaded_by_name_whatever_the_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = Partly(), Partly()
    second.load_state_dict(first.state_dict())
    lq = torch.rand(2, 3, 4, 4)
    part = MicroBatch(lq, Images(lq, lq))
    engine = start_ddp("fp32", gpus=0)
    engine.prepare(Passes(first, squares()), torch.optim.Adam(first.used.parameters(), lr=0.1))
    stepped(engine, part)
    torch.save(engine.optimizer_state(), tmp_path / "state.pt")
    weights = {name: value.clone() for name, value in engine.model_state().items()}
    expected = stepped(engine, part), stepped(engine, part)
    other = start_ddp("fp32", gpus=0)
    second.load_state_dict(weights)
    turned = torch.optim.Adam([second.used.bias, second.used.weight], lr=0.5, foreach=True)
    other.prepare(Passes(second, squares()), turned)
    other.load_optimizer(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (turned.param_groups[0]["lr"], turned.param_groups[0]["foreach"]) == (0.1, True)
    assert (stepped(other, part), stepped(other, part)) == pytest.approx(expected, rel=1e-6)
