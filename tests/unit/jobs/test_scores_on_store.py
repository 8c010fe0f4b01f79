"""Parts of a test set whose results lie on a store: scored on one machine, taken over on another."""

from __future__ import annotations

from harness.jobs.run import run_job_file
from harness.storage.store import Store
from tests.small_world import SmallWorld, small_cell
from tests.unit.jobs.test_scores import divided, restored
from tests.unit.jobs.test_staging import handed_out, machines, world_on  # noqa: F401 - a fixture
from tests.unit.storage.conftest import Machines


def test_what_parts_left_on_other_machines_is_taken_over_and_then_gone(
    machines: Machines,  # noqa: F811
    world: SmallWorld,
    monkeypatch,
) -> None:
    cell = small_cell()
    driver = world_on(machines, "driver", world.layout.data)
    evaluation, parts = divided(driver, cell)
    machines("one")
    assert run_job_file(handed_out(driver, driver.train_job(cell))).failure is None
    for name, job in zip(("two", "three"), parts, strict=True):
        machines(name)
        outcome = run_job_file(handed_out(driver, job))
        assert outcome.failure is None, outcome.message
    names = [f"jobs/{job.id}.scores" for job in parts]
    assert all(Store(machines.url).read(name) for name in names)
    machines("four")
    seen = restored(monkeypatch)
    outcome = run_job_file(handed_out(driver, evaluation))
    assert outcome.failure is None, outcome.message
    assert len(seen) == 1  # the image that is shown
    assert not any(Store(machines.url).read(name) for name in names)

    for job in (world.train_job(cell), divided(world, cell)[0].model_copy(update={"parts": ()})):
        assert run_job_file(str(world.write(job))).failure is None
    four = SmallWorld(type(world.layout)(machines("four").files, world.layout.data))
    assert four.rows(cell) == world.rows(cell)
