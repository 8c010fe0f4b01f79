"""Checkpoints on disk: whole or not there, the last two kept, damage noticed."""

from __future__ import annotations

import inspect
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.core.errors import HarnessError
from harness.training.checkpoint import (
    drop_checkpoints,
    find_checkpoint,
    random_state,
    read_model,
    set_random_state,
    write_checkpoint,
)
from harness.training.loop import Place


def network(value: float) -> dict[str, Tensor]:
    return {"weight": torch.full((3, 2), value), "bias": torch.zeros(3)}


def write(root: Path, *steps: int) -> None:
    for step in steps:
        write_checkpoint(root, step, network(step), {"position": step * 8, "rows": torch.arange(step)}, {})


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_nothing_there_is_no_error(tmp_path) -> None:
    assert find_checkpoint(tmp_path / "absent") is None
    (tmp_path / "final.safetensors").touch()
    assert find_checkpoint(tmp_path) is None


def test_what_is_written_comes_back(tmp_path) -> None:
    write(tmp_path, 200)
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.state["position"], found.damaged) == (200, 1600, ())
    assert torch.equal(found.state["rows"], torch.arange(200))
    assert torch.equal(read_model(found)["weight"], torch.full((3, 2), 200.0))
    assert found.misfit({}) is None


def test_the_last_two_are_kept(tmp_path) -> None:
    write(tmp_path, 5, 10, 15, 20)
    assert folders(tmp_path) == ["step-00000015", "step-00000020"]


@pytest.mark.parametrize("name", ["model.safetensors", "training.pt", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, name: str, how: str) -> None:
    write(tmp_path, 10, 20)
    damage(tmp_path / "step-00000020" / name, how)
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
    assert len(found.damaged) == 1
    assert found.damaged[0].startswith("step-00000020: ")
    assert folders(tmp_path) == ["step-00000010"]
    write(tmp_path, 20)
    again = find_checkpoint(tmp_path)
    assert again is not None
    assert again.step == 20


def damage(path: Path, how: str) -> None:
    if how == "remove":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


def test_an_altered_step_is_damage(tmp_path) -> None:
    write(tmp_path, 10, 20)
    path = tmp_path / "step-00000020" / "manifest.json"
    path.write_text(path.read_text().replace('"step": 20', '"step": 90'))
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.damaged) == (10, ("step-00000020: its content is not what was sealed",))


def test_a_file_in_the_place_of_a_step_is_passed_over_and_removed(tmp_path) -> None:
    write(tmp_path, 10)
    (tmp_path / "step-00000020").write_text("")
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
    assert folders(tmp_path) == ["step-00000010"]


def test_what_a_checkpoint_was_trained_from_is_compared(tmp_path) -> None:
    write_checkpoint(tmp_path, 10, network(1.0), {}, {"set": "1", "cell a": "2"})
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.misfit({"cell a": "2", "set": "1"}) is None
    assert found.misfit({"cell a": "3", "set": "1"}) == "it was trained from other cell a"
    assert found.misfit({"set": "1"}) == "it was trained from other cell a"


@pytest.mark.parametrize("form", [None, 1, 3])
def test_a_checkpoint_of_another_release_is_not_read(tmp_path, form: int | None) -> None:
    write_checkpoint(tmp_path, 10, network(1.0), {}, {"set": "1"})
    path = tmp_path / "step-00000010" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sealed"], manifest["format"]
    path.write_text(json.dumps(manifest | ({} if form is None else {"format": form})))
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert "another release" in str(found.misfit({"set": "1"}))


def test_what_a_training_rests_on_must_be_said(tmp_path) -> None:
    """Without it every checkpoint would count as one of other data, and be dropped."""
    for function in (write_checkpoint, Place):
        assert inspect.signature(function).parameters["made_of"].default is inspect.Parameter.empty


def test_what_killed_writes_and_removals_left_goes_with_the_checkpoints(tmp_path) -> None:
    write(tmp_path, 10)
    for left in (".step-00000020.0a1b2c3d.tmp", ".step-00000010.0a1b2c3d.tmp"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "model.safetensors").write_text("half")
    (tmp_path / "final.safetensors").write_text("whole")
    drop_checkpoints(tmp_path)
    assert folders(tmp_path) == ["final.safetensors"]


def test_all_damaged_is_an_error_that_deletes_nothing(tmp_path) -> None:
    write(tmp_path, 10, 20)
    for folder in tmp_path.iterdir():
        damage(folder / "training.pt", "truncate")
    with pytest.raises(HarnessError, match=r"step-00000020.*step-00000010") as caught:
        find_checkpoint(tmp_path)
    assert caught.value.kind == "checkpoint"
    assert folders(tmp_path) == ["step-00000010", "step-00000020"]


def test_code_hidden_in_a_state_is_not_run(tmp_path) -> None:
    """A pickle with the right digest is still refused: only plain values and tensors are read."""

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    write_checkpoint(tmp_path, 10, network(1.0), {"position": Bomb()}, {})
    with pytest.raises(HarnessError) as caught:
        find_checkpoint(tmp_path)
    assert caught.value.kind == "checkpoint"
    assert not (tmp_path / "exploded").exists()


def test_a_crash_while_writing_leaves_no_checkpoint(tmp_path, monkeypatch) -> None:
    write(tmp_path, 10)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.training.checkpoint.write_json", crash)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 20)
    assert folders(tmp_path) == ["step-00000010"]


def test_dropping_leaves_the_final_weights(tmp_path) -> None:
    write(tmp_path, 10, 20)
    (tmp_path / "final.safetensors").touch()
    drop_checkpoints(tmp_path)
    assert folders(tmp_path) == ["final.safetensors"]


def test_random_states_go_through_a_file_and_repeat_the_draws(tmp_path) -> None:
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    random.gauss(0, 1), np.random.standard_normal()  # both keep a second draw in their state
    torch.save(random_state(), tmp_path / "state.pt")
    first = random.gauss(0, 1), np.random.standard_normal(), torch.rand(3)
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    second = random.gauss(0, 1), np.random.standard_normal(), torch.rand(3)
    assert first[:2] == second[:2]
    assert torch.equal(first[2], second[2])
