"""What jobs take, and requests that no machine meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.running import Request
from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.scheduling.resources import check_address, check_capacity, job_resources
from tests.unit.scheduling.plans import evaluate, shards, train

OUT = Path("/out")
CPU_ONLY = {"cpus": 4.0, "gpus": 0.0}
WITH_GPUS = {"cpus": 4.0, "gpus": 2.0}


def test_shards_take_one_cpu_and_no_gpu():
    assert job_resources(shards("train", OUT), WITH_GPUS) == Request(1, 0)


@pytest.mark.parametrize(
    ("capacity", "run", "expected"),
    [
        (CPU_ONLY, Run(cpus=3), Request(3)),
        (WITH_GPUS, Run(cpus=3), Request(3, 1)),
        (WITH_GPUS, Run(cpus=3, gpus=0), Request(3)),
        (WITH_GPUS, Run(cpus=3, gpus=2), Request(3, 1, 2)),
        (CPU_ONLY, Run(gpus=1), Request(1, 1)),
        (CPU_ONLY, Run(processes=4, nodes=2), Request(1, 0, 4, 2)),
        (WITH_GPUS, Run(nodes=2), Request(1, 1, 2, 2)),
    ],
)
def test_training_takes_the_suites_processes_each_with_its_cpus_and_a_gpu(capacity, run, expected):
    assert job_resources(train(0, OUT, run=run), capacity) == expected


def test_evaluation_takes_one_process_and_one_gpu_at_most():
    job = evaluate(0, OUT).model_copy(update={"run": Run(cpus=2, gpus=2)})
    assert job_resources(job, WITH_GPUS) == Request(2, 1)


def test_a_jobs_patience_is_the_suites_and_tells_no_requests_apart():
    request = job_resources(train(0, OUT, run=Run(patience=77)), CPU_ONLY)
    assert request.patience == 77
    assert request == Request(1)


def test_a_request_larger_than_everything_is_refused_with_what_to_change():
    check_capacity([Request(4)], CPU_ONLY)
    check_capacity([Request(2, processes=2)], CPU_ONLY)
    check_capacity([], CPU_ONLY)
    with pytest.raises(HarnessError, match=r"8 cpus, but there are only 4") as caught:
        check_capacity([Request(4), Request(8)], CPU_ONLY)
    assert "--set run.cpus=4" in caught.value.hint
    with pytest.raises(HarnessError, match="1 gpus, but there are only 0"):
        check_capacity([Request(1, 1)], CPU_ONLY)
    with pytest.raises(HarnessError, match="6 cpus, but there are only 4"):
        check_capacity([Request(2, processes=3)], CPU_ONLY)


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        (Request(6), "run with --set run.cpus=4,"),
        (Request(1, processes=6), "run with --set run.processes=4,"),
        (Request(2, processes=3), "run with --set run.processes=2,"),
        (Request(5, processes=2), "run with --set run.processes=1 --set run.cpus=4,"),
    ],
)
def test_what_asks_for_too_many_cpus_is_told_what_makes_it_fit(request_: Request, hint: str) -> None:
    with pytest.raises(HarnessError) as raised:
        check_capacity([request_], CPU_ONLY)
    assert raised.value.hint.startswith(hint)


@pytest.mark.parametrize(("capacity", "gpus"), [(CPU_ONLY, "auto"), (CPU_ONLY, 0), (WITH_GPUS, 0)])
def test_fp16_without_a_gpu_is_refused_before_any_job(capacity, gpus):
    whole = train(0, OUT, run=Run(gpus=gpus))
    recipe = whole.work.cell.recipe.model_copy(update={"precision": "fp16"})
    work = whole.work.model_copy(update={"cell": whole.work.cell.model_copy(update={"recipe": recipe})})
    job = whole.model_copy(update={"work": work})
    with pytest.raises(HarnessError, match="cannot train in fp16") as caught:
        job_resources(job, capacity)
    assert caught.value.kind == "suite"
    assert job_resources(job.model_copy(update={"run": Run(gpus=1)}), WITH_GPUS).gpus == 1


@pytest.mark.parametrize("address", ["nowhere", ":6379", "host:", "host:port", "host:0", "host:70000", "host:٣", ""])
def test_what_is_no_address_is_told_before_anything_is_asked(address):
    with pytest.raises(HarnessError, match="is not the address of a Ray cluster") as caught:
        check_address(address)
    assert caught.value.hint == "auto, or host:port"


def test_a_host_that_no_name_server_can_know():
    with pytest.raises(HarnessError, match="no Ray cluster answers"):
        check_address(f"{'x' * 70}:6379")
