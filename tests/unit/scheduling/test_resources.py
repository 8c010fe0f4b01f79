"""What jobs take, and requests that no machine meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.scheduling.resources import check_address, check_capacity, job_resources
from tests.unit.scheduling.plans import evaluate, shards, train

OUT = Path("/out")
CPU_ONLY = {"cpus": 4.0, "gpus": 0.0}
WITH_GPUS = {"cpus": 4.0, "gpus": 2.0}


def test_shards_take_one_cpu_and_no_gpu():
    assert job_resources(shards("train", OUT), WITH_GPUS) == {"cpus": 1.0, "gpus": 0.0}


@pytest.mark.parametrize(
    ("capacity", "gpus", "expected"),
    [(CPU_ONLY, "auto", 0.0), (WITH_GPUS, "auto", 1.0), (WITH_GPUS, 0, 0.0), (WITH_GPUS, 2, 2.0), (CPU_ONLY, 1, 1.0)],
)
def test_training_takes_the_suites_cpus_and_gpus(capacity, gpus, expected):
    job = train(0, OUT, run=Run(cpus=3, gpus=gpus))
    assert job_resources(job, capacity) == {"cpus": 3.0, "gpus": expected}


def test_evaluation_takes_one_gpu_at_most():
    job = evaluate(0, OUT).model_copy(update={"run": Run(cpus=2, gpus=2)})
    assert job_resources(job, WITH_GPUS) == {"cpus": 2.0, "gpus": 1.0}


def test_a_request_larger_than_everything_is_refused_with_what_to_change():
    check_capacity([{"cpus": 4.0, "gpus": 0.0}], CPU_ONLY)
    check_capacity([], CPU_ONLY)
    with pytest.raises(HarnessError, match=r"8 cpus, but there are only 4") as caught:
        check_capacity([{"cpus": 1.0, "gpus": 0.0}, {"cpus": 8.0, "gpus": 0.0}], CPU_ONLY)
    assert "--set run.cpus=4" in caught.value.hint
    with pytest.raises(HarnessError, match="1 gpus, but there are only 0"):
        check_capacity([{"cpus": 1.0, "gpus": 1.0}], CPU_ONLY)


@pytest.mark.parametrize(("capacity", "gpus"), [(CPU_ONLY, "auto"), (CPU_ONLY, 0), (WITH_GPUS, 0)])
def test_fp16_without_a_gpu_is_refused_before_any_job(capacity, gpus):
    whole = train(0, OUT, run=Run(gpus=gpus))
    recipe = whole.work.cell.recipe.model_copy(update={"precision": "fp16"})
    work = whole.work.model_copy(update={"cell": whole.work.cell.model_copy(update={"recipe": recipe})})
    job = whole.model_copy(update={"work": work})
    with pytest.raises(HarnessError, match="cannot train in fp16") as caught:
        job_resources(job, capacity)
    assert caught.value.kind == "suite"
    assert job_resources(job.model_copy(update={"run": Run(gpus=1)}), WITH_GPUS)["gpus"] == 1.0


@pytest.mark.parametrize("address", ["nowhere", ":6379", "host:", "host:port", "host:0", "host:70000", "host:٣", ""])
def test_what_is_no_address_is_told_before_anything_is_asked(address):
    with pytest.raises(HarnessError, match="is not the address of a Ray cluster") as caught:
        check_address(address)
    assert caught.value.hint == "auto, or host:port"


def test_a_host_that_no_name_server_can_know():
    with pytest.raises(HarnessError, match="no Ray cluster answers"):
        check_address(f"{'x' * 70}:6379")
