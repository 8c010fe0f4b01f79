"""Every form of an engine against one plain process, for longer: the table of the largest differences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.sharded import differences, run_gang, run_plain
from tests.unit.training.sharded_gang import Task

STEPS = 30
CUT_ALL = json.dumps({"zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0}})
FORMS = {
    "fsdp2": Task("", "fsdp2"),
    "deepspeed1": Task("", "deepspeed1"),
    "deepspeed2": Task("", "deepspeed2"),
    "deepspeed3": Task("", "deepspeed3", config=CUT_ALL),
    "deepspeed2 offloaded": Task("", "deepspeed2", offload="optimizer"),
    "deepspeed3 offloaded": Task("", "deepspeed3", offload="all"),
}
TASKS: dict[str, dict[str, Any]] = {
    "NAFNet": {},
    "PTG-RM, clipped, micro-batches": {"refined": True, "clip": 0.05, "micro": 1},
    "two stages, rates": {"restart": 10, "rates": {"backbone.intro": 0.1}},
    "fewer train later": {"refined": True, "trains": ("refiner", "backbone.intro"), "then": ("refiner",)},
    "SGD": {"optimizer": "sgd"},
    "RAdam": {"optimizer": "radam", "clip": 0.05},
    "small parameters": {"odd": "tiny"},
    "weights read beside their module": {"odd": "neighbour"},
    "bf16": {"precision": "bf16"},
}
ELASTIC = {
    "fsdp2 ×2 → plain": ("fsdp2", 2, "plain", 1),
    "plain → fsdp2 ×2": ("plain", 1, "fsdp2", 2),
    "deepspeed3 ×2 → plain": ("deepspeed3", 2, "plain", 1),
    "deepspeed3 ×2 → deepspeed1 ×4": ("deepspeed3", 2, "deepspeed1", 4),
    "deepspeed2 ×2 → fsdp2 ×4": ("deepspeed2", 2, "fsdp2", 4),
    "fsdp2 ×4 → deepspeed3 ×2": ("fsdp2", 4, "deepspeed3", 2),
    "ddp ×4 → fsdp2 ×2": ("ddp", 4, "fsdp2", 2),
}


@pytest.mark.slow
def test_every_form_trains_as_one_process_does(tmp_path: Path) -> None:
    plain = [Task(name, steps=STEPS, **fields) for name, fields in TASKS.items()]
    run_plain(tmp_path, plain)
    tasks = [
        replace(task, name=f"{form} {task.name}", form=own.form, config=own.config, offload=own.offload)
        for form, own in FORMS.items()
        for task in plain
    ]
    run_gang(2, tmp_path, tasks)
    found = {(form, name): differences(tmp_path, f"{form} {name}", name) for form in FORMS for name in TASKS}
    for (form, name), each in found.items():
        print(f"{form} | {name} | {each}")
        assert each.loss < (2e-3 if name == "bf16" else 2e-6), (form, name)
        assert max(each.weights, each.average) < 5e-3, (form, name)


@pytest.mark.slow
def test_what_one_form_began_another_ends(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"clip": 0.05, "rates": {"backbone.intro": 0.1}}
    run_plain(tmp_path, [Task("whole", steps=8, **fields)])
    for name, (form, ranks, other, others) in ELASTIC.items():
        first = Task(f"first {name}", form, steps=4, **fields)
        rest = Task(f"rest {name}", other, steps=4, first=4, load=first.name, **fields)
        for task, number in ((first, ranks), (rest, others)):
            if number == 1:
                run_plain(tmp_path, [task])
            else:
                run_gang(number, tmp_path, [task])
        found = differences(tmp_path, rest.name, "whole", since=4)
        print(f"{name} | {found}")
        assert max(found.loss, found.weights, found.average, found.moments) < 2e-6, name
