"""Which jobs a suite needs, which of them are done, and why not."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from harness.api.protocols import NOISE_SEED0, RGB_UINT8, RGB_UINT8_SSIM3D
from harness.api.reference import PartRef
from harness.cells.cell import evaluation_id
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import SuiteMetric
from harness.core.errors import UnknownName
from harness.core.identity import sealed
from harness.core.registry import Entry
from harness.parts.catalogue import REGISTRY
from harness.planning.job import EvaluateWork, FeaturesWork, Job, TrainWork
from harness.planning.plan import make_plan
from harness.records import store
from tests.unit.records import made
from tests.unit.records.made import cell, degraded, listed, photos, refined, suite

LPIPS = "metric lpips needs alexnet/imagenet, lpips/alex-v0.1"


def plan(layout, *cells, metrics=("psnr", "ssim"), registry=REGISTRY, **options):
    return make_plan(suite(*cells, metrics=metrics), layout, registry, **options)


def states(planned):
    """Title → state."""
    return {job.job.title: job.state for job in planned.jobs}


def cell_states(planned):
    return [status.state for status in planned.cells]


def titles(planned, *kinds):
    return [job.job.title for job in planned.jobs if not kinds or job.job.work.kind in kinds]


def job(planned, job_id):
    return next(job for job in planned.jobs if job.id == job_id)


def finish_all(layout, *cells, scores=None):
    """Everything that those cells need, and their results."""
    for suite_cell in cells:
        content = suite_cell.cell
        test = content.test_set(photos()).samples()
        sets = [content.train_samples.stored, test.stored] if content.backbone else [test.stored]
        made.prepare(layout, *sets)
        features = [content.train_features(0), content.test_features(test)]
        made.prepare(layout, *(f for feature in features if feature for f in (*feature.parents, feature)))
        made.finish(layout, content, scores or made.values([20.0, 21.0], [0.5, 0.6]))


def test_everything_shared_is_planned_once_and_dependencies_come_first(layout):
    planned = plan(layout, listed(degraded()), *(listed(c(seed)) for seed in (0, 1) for c in (cell, refined)))
    assert sorted(titles(planned, "shards", "features")) == [
        "features nss of photos/test",
        "features nss of photos/train",
        "shards photos/test",
        "shards photos/train",
    ]
    assert len(titles(planned, "train")) == 4
    assert len(titles(planned, "evaluate")) == 5
    seen: set[str] = set()
    for each in planned.jobs:
        assert set(each.job.depends) <= seen, each.job.title
        assert each.id == each.job.id
        seen.add(each.id)
    assert {each.state for each in planned.jobs} == {"todo"}
    assert cell_states(planned) == ["todo"] * 5


def test_jobs_carry_all_that_a_worker_needs(layout):
    content = suite(listed(cell(), "mine")).model_copy(update={"plugins": ("/p.py",)})
    planned = make_plan(content, layout, REGISTRY)
    train = job(planned, f"train-{cell().id}").job
    assert (train.out, train.data) == ("..", "../../data")
    assert (train.suite, train.plugins, train.run) == ("made", ("/p.py",), content.run)
    assert train.labels is not None
    assert train.labels.variant == "mine"
    assert Job.model_validate_json(train.model_dump_json()) == train
    assert job(planned, train.depends[0]).job.labels is None


def test_a_control_waits_for_the_rows_it_is_made_of(layout):
    mean = PartRef(name="mean", derived_from=PartRef(name="nss"))
    content = refined(prior=mean, variant={"views": 8})
    planned = plan(layout, listed(content))
    by_features = {
        (each.job.work.features.prior.name, each.job.work.features.samples.split, each.job.work.features.augment): each
        for each in planned.jobs
        if isinstance(each.job.work, FeaturesWork)
    }
    assert set(by_features) == {
        ("mean", "train", "dihedral"),
        ("nss", "train", "dihedral"),
        ("mean", "test", "none"),
        ("nss", "test", "none"),
        ("nss", "train", "none"),
    }
    test = set(by_features["mean", "test", "none"].job.depends)
    assert {by_features["nss", "test", "none"].id, by_features["nss", "train", "none"].id} < test
    assert by_features["nss", "train", "dihedral"].id in by_features["mean", "train", "dihedral"].job.depends


def test_a_prior_made_by_another_cell_waits_for_its_training(layout):
    source = cell(task=made.task("derain"))
    content = refined(prior=PartRef(name="restoration", digest=source.id), prior_source=source)
    planned = plan(layout, listed(source, listed=False, tests=()), listed(content))
    encoding = [each for each in planned.jobs if isinstance(each.job.work, FeaturesWork)]
    assert len(encoding) == 2
    for each in encoding:
        assert f"train-{source.id}" in each.job.depends
        assert each.job.work.prior_source == source
    assert titles(planned, "evaluate") == ["evaluate low_light NAFNet restoration seed 0"]
    assert job(planned, f"train-{source.id}").cells == (source.id, content.id)


def test_regimes_that_start_from_the_base_wait_for_it(layout):
    frozen = refined(variant={"regime": "frozen"}, base=cell())
    planned = plan(layout, listed(cell(), listed=False), listed(frozen))
    assert f"train-{cell().id}" in job(planned, f"train-{frozen.id}").job.depends


def test_live_features_are_not_cached_for_training(layout):
    planned = plan(layout, listed(refined(variant={"features": "live"})))
    assert titles(planned, "features") == ["features nss of photos/test"]


def test_the_input_needs_its_test_set_alone(layout):
    planned = plan(layout, listed(degraded()))
    assert titles(planned) == ["shards photos/test", "evaluate low_light input input seed 0"]


def test_a_finished_suite_has_nothing_to_do(layout):
    cells = [listed(degraded()), listed(cell()), listed(refined())]
    finish_all(layout, *cells)
    planned = plan(layout, *cells)
    assert not planned.to_run
    assert cell_states(planned) == ["done"] * 3
    assert not planned.blocked


def test_data_that_nothing_needs_any_more_is_not_made_again(layout):
    made.finish(layout, refined(), made.values([20.0], [0.5]))
    planned = plan(layout, listed(refined()))
    assert not planned.to_run
    assert {each.reason for each in planned.jobs if each.job.work.kind == "shards"} == {
        "not needed: all that would use it is done"
    }


def test_the_manifests_of_real_shards_and_features_are_understood(layout):
    pytest.importorskip("torch")
    import numpy as np

    from harness.data.features import Piece, write_features
    from harness.data.prepare import prepare_set
    from tests.small_world import denoising

    content = refined(task=denoising(), recipe=Recipe(patch=64, augment="none"))
    for samples in (content.train_samples, content.test_set(photos()).samples()):
        shards = prepare_set(samples.stored, REGISTRY, layout.data)
        features = content.train_features(0) if samples == content.train_samples else content.test_features(samples)
        assert features is not None
        rows = [Piece(np.arange(len(shards)), np.ones((len(shards), 3), np.float32))]
        write_features(features, layout.data, rows, samples_manifest_sha256=shards.manifest_sha256)
    planned = plan(layout, listed(content))
    assert [each.job.work.kind for each in planned.to_run] == ["train", "evaluate"]


@pytest.mark.parametrize("damage", ["text", "other", "gone"])
def test_damaged_data_is_stale(layout, damage):
    content = refined()
    finish_all(layout, listed(content))
    shutil.rmtree(layout.cell(content.id))
    path = content.train_samples.stored.folder(layout.data) / "manifest.json"
    if damage == "text":
        path.write_text('{"set": ')
    elif damage == "other":
        path.write_text(json.dumps({"set": cell().train_samples.stored.model_dump(mode="json") | {"split": "test"}}))
    else:
        path.unlink()
    found = states(plan(layout, listed(content)))
    assert found["shards photos/train"] == "stale"
    assert found["shards photos/test"] == "done"


def test_features_of_samples_that_were_prepared_anew_are_stale(layout):
    content = refined()
    finish_all(layout, listed(content))
    shutil.rmtree(layout.cell(content.id))
    path = content.train_samples.stored.folder(layout.data) / "manifest.json"
    path.write_text(path.read_text() + " ")
    planned = plan(layout, listed(content))
    stale = [each for each in planned.jobs if each.state == "stale"]
    assert [(each.job.title, each.reason) for each in stale] == [
        ("features nss of photos/train", "its samples have been prepared anew since")
    ]


def test_a_new_test_set_evaluates_and_does_not_retrain(layout):
    content = cell()
    finish_all(layout, listed(content))
    more = PartRef(name="photos", digest=photos().digest, version="2")
    planned = plan(layout, listed(content, tests=(photos(), more)))
    assert [each.job.work.kind for each in planned.to_run] == ["shards", "evaluate"]
    assert planned.cells[0].state == "todo"
    assert planned.cells[0].reason == "evaluated before, not yet: photos"
    assert (planned.anew, planned.rescore) == ((), ())


def test_a_new_metric_evaluates_and_does_not_retrain(layout):
    finish_all(layout, listed(cell()), scores=made.values([20.0]))
    planned = plan(layout, listed(cell()))
    assert [each.job.work.kind for each in planned.to_run] == ["evaluate"]
    assert planned.cells[0].reason == "evaluated before, not yet: ssim of photos"
    work = planned.to_run[0].job.work
    assert isinstance(work, EvaluateWork)
    assert [metric.key for metric in work.metrics] == ["psnr", "ssim"]


def test_a_new_protocol_evaluates_and_does_not_retrain(layout):
    finish_all(layout, listed(cell()))
    both = suite(listed(cell()), protocols=[RGB_UINT8, RGB_UINT8_SSIM3D])
    planned = make_plan(both, layout, REGISTRY)
    assert [each.job.work.kind for each in planned.to_run] == ["evaluate"]
    assert planned.cells[0].reason == "evaluated before, not yet: photos under rgb_uint8_ssim3d/v1"
    work = planned.to_run[0].job.work
    assert isinstance(work, EvaluateWork)
    assert (len(work.tests), work.protocols) == (1, (RGB_UINT8, RGB_UINT8_SSIM3D))
    made.finish(layout, cell(), made.values([20.0], [0.5]), protocols=[RGB_UINT8, RGB_UINT8_SSIM3D])
    assert make_plan(both, layout, REGISTRY).to_run == ()
    assert plan(layout, listed(cell())).to_run == ()


def test_a_protocol_that_draws_in_another_way_brings_a_test_set_of_its_own(layout):
    noise = PartRef(name="gaussian_noise", drawn=True)
    content = cell(task=PartRef(name="gaussian_denoise", derived_from=noise))
    protocols = [RGB_UINT8, RGB_UINT8_SSIM3D, NOISE_SEED0]
    planned = make_plan(suite(listed(content), protocols=protocols), layout, REGISTRY)
    work = planned.jobs[-1].job.work
    assert isinstance(work, EvaluateWork)
    assert [samples.draw for samples in work.tests] == ["named", "seed0"]
    scored = [(samples.draw, protocol.name) for samples, protocol in work.evaluations(work.protocols)]
    assert scored == [("named", "rgb_uint8"), ("named", "rgb_uint8_ssim3d"), ("seed0", "noise_seed0")]
    assert sorted(titles(planned, "shards")) == [
        "shards photos/test",
        "shards photos/train",
    ]
    assert Job.model_validate_json(planned.jobs[-1].job.model_dump_json()) == planned.jobs[-1].job


def test_a_metric_whose_version_was_raised_evaluates_again(layout):
    finish_all(layout, listed(cell()))
    record = store.load(layout, cell().id)
    (evaluation,) = record.evaluations
    older = evaluation.model_copy(update={"metrics": {"psnr": "1", "ssim": "0"}})
    store.save(layout, record.model_copy(update={"evaluations": (older,)}))
    planned = plan(layout, listed(cell()))
    assert [each.job.work.kind for each in planned.to_run] == ["evaluate"]
    assert "ssim of photos" in planned.cells[0].reason


def test_a_stored_suite_that_names_its_metrics_alone_takes_the_version_on_record():
    metric = SuiteMetric.model_validate("psnr")
    assert (metric.key, metric.label, metric.part.name) == ("psnr", "psnr", "psnr")
    assert metric.is_version("1+0123456789abcdef")
    assert not metric.is_version(None)
    assert not SuiteMetric(part=PartRef(name="psnr", version="2"), key="psnr", label="psnr").is_version("1")


def test_a_trained_cell_is_only_evaluated(layout):
    finish_all(layout, listed(cell()))
    made.finish(layout, cell())
    planned = plan(layout, listed(cell()))
    assert [each.id for each in planned.to_run] == [f"evaluate-{cell().id}"]
    assert planned.cells[0].reason == "trained, to be evaluated"


def test_a_lost_checkpoint_matters_only_when_something_needs_it(layout):
    finish_all(layout, listed(cell()))
    (layout.checkpoints(cell().id) / "final.safetensors").unlink()
    assert not plan(layout, listed(cell())).to_run
    planned = plan(layout, listed(cell()), listed(refined(variant={"regime": "frozen"}, base=cell())))
    assert job(planned, f"train-{cell().id}").state == "stale"
    assert job(planned, f"evaluate-{cell().id}").state == "stale"
    assert planned.cells[0].reason == "its checkpoint is gone and something needs it"
    assert planned.anew == (cell().id,)


def test_a_failed_cell_is_tried_again(layout):
    made.fail(layout, cell())
    planned = plan(layout, listed(cell()))
    train = job(planned, f"train-{cell().id}")
    assert (train.state, train.reason) == ("todo", "failed before (nan): the loss is NaN at step 7")
    assert (planned.cells[0].state, planned.cells[0].reason) == ("failed", "failed (nan): the loss is NaN at step 7")
    assert not planned.blocked


def test_an_interrupted_cell_is_not_called_failed(layout):
    made.fail(layout, cell(), "interrupted", "Ctrl-C")
    layout.checkpoints(cell().id).mkdir()
    planned = plan(layout, listed(cell()))
    assert (planned.cells[0].state, planned.cells[0].reason) == ("todo", "interrupted: goes on from its checkpoint")


def test_a_failed_evaluation_keeps_the_training(layout):
    finish_all(layout, listed(cell()))
    made.finish(layout, cell())
    made.fail(layout, cell(), "data", "image a is broken")
    planned = plan(layout, listed(cell()))
    assert [each.id for each in planned.to_run] == [f"evaluate-{cell().id}"]
    assert planned.cells[0].state == "failed"
    assert planned.anew == ()


def test_a_damaged_record_is_made_again(layout):
    finish_all(layout, listed(cell()))
    layout.record(cell().id).write_text("{")
    planned = plan(layout, listed(cell()))
    assert [each.state for each in planned.to_run] == ["stale", "stale"]
    assert planned.cells[0].state == "stale"
    assert "damaged" in planned.cells[0].reason
    assert planned.anew == (cell().id,)


def test_a_damaged_record_of_the_input_is_made_again(layout):
    finish_all(layout, listed(degraded()))
    layout.record(degraded().id).write_text("{")
    assert plan(layout, listed(degraded())).anew == (degraded().id,)


def test_damaged_images_are_scored_again_without_training(layout):
    finish_all(layout, listed(cell()))
    layout.images(cell().id).write_bytes(b"PAR1")
    planned = plan(layout, listed(cell()))
    assert [(each.id, each.state) for each in planned.to_run] == [(f"evaluate-{cell().id}", "stale")]
    assert (planned.anew, planned.rescore) == ((), (cell().id,))
    assert {each.id: each.job.anew for each in planned.to_run} == {f"evaluate-{cell().id}": (cell().id,)}


@pytest.mark.parametrize("split", ["train", "test"])
def test_results_of_data_that_changed_since_are_stale(layout, split):
    content = cell()
    finish_all(layout, listed(content))
    samples = (content.train_samples if split == "train" else content.test_set(photos()).samples()).stored
    made.finish(
        layout, content, made.values([20.0], [0.5]), data={f"{samples.name}/{split}": "0" * 64, "gone/train": "1" * 64}
    )
    planned = plan(layout, listed(content))
    assert planned.cells[0].state == "stale"
    assert [each.job.work.kind for each in planned.to_run] == (
        ["train", "evaluate"] if split == "train" else ["evaluate"]
    )
    assert planned.anew == ((content.id,) if split == "train" else ())
    assert planned.rescore == (() if split == "train" else (content.id,))


def test_a_record_of_a_newer_release_is_left_alone(layout):
    finish_all(layout, listed(cell()))
    path = layout.record(cell().id)
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {"schema_version": 2})))
    planned = plan(layout, listed(cell()), force=[cell().id])
    assert not planned.to_run
    assert planned.blocked
    assert planned.anew == ()
    assert "upgrade priorbench" in planned.cells[0].reason


def test_a_record_whose_version_a_flipped_bit_made_newer_is_made_again(layout):
    finish_all(layout, listed(cell()))
    path = layout.record(cell().id)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    assert plan(layout, listed(cell())).anew == (cell().id,)


def test_a_table_of_images_that_cannot_be_read_now_blocks_its_cell(layout, monkeypatch):
    finish_all(layout, listed(cell()))
    unreadable, read = layout.images(cell().id), Path.read_bytes

    def refused(path):
        if path == unreadable:
            raise OSError(errno.EIO, "no luck")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    for metrics in (("psnr", "ssim"), ("psnr", "ssim", "psnr_y")):
        planned = plan(layout, listed(cell()), metrics=metrics)
        assert (planned.to_run, planned.anew, planned.rescore) == ((), (), ())
        assert planned.cells[0].state == "blocked"
        assert "the disk reports an error (EIO)" in planned.cells[0].reason


def test_what_is_on_record_of_other_test_sets_is_not_outdated(layout):
    content, other = cell(), PartRef(name="photos", options={"gain": 2})
    finish_all(layout, listed(content))
    tests = (photos(), other)
    made.prepare(layout, content.test_set(other).samples().stored)
    samples = content.test_set(photos()).samples()
    record = made.finish(layout, content, made.values([20.0], [0.5]), data={f"{samples.name}/test": "0" * 64})
    (only,) = record.evaluations
    beside = only.model_copy(update={"id": evaluation_id(content, content.test_set(other).samples(), RGB_UINT8)})
    others = only.model_copy(update={"id": "0" * 12, "dataset": "of another suite"})
    unknown = only.model_copy(update={"id": "1" * 12, "protocol": "of another suite/v1"})
    store.save(layout, record.model_copy(update={"evaluations": (only, beside, others, unknown)}))
    planned = plan(layout, listed(content, tests=tests))
    assert planned.rescore == (content.id,)
    outdated = planned.outdated[content.id]
    assert (outdated.evaluations, outdated.data) == ((only.id, "1" * 12), (f"{samples.name}/test",))


def test_force_makes_one_cell_again(layout):
    cells = [listed(cell(seed)) for seed in range(3)]
    finish_all(layout, *cells)
    forced = cells[1].cell.id
    planned = plan(layout, *cells, force=[forced[:8]])
    assert [(each.id, each.reason) for each in planned.to_run] == [
        (f"train-{forced}", "forced"),
        (f"evaluate-{forced}", "forced"),
    ]
    assert planned.anew == (forced,)
    assert [each.job.anew for each in planned.to_run] == [(forced,)] * 2
    assert all(store.load(layout, each.cell.id) is not None for each in cells)


def test_force_of_an_unknown_cell_is_refused(layout):
    for wrong in ("zzz", ""):
        with pytest.raises(UnknownName, match="no cell of the suite begins with"):
            plan(layout, listed(cell()), force=[wrong])


def test_a_prior_without_weights_blocks_its_cells_and_no_others(layout, bare_machine):
    clip = refined(prior=PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"}))
    shuffled = refined(prior=PartRef(name="shuffled", derived_from=clip.variant.prior))
    planned = plan(layout, listed(cell()), listed(clip), listed(shuffled))
    assert cell_states(planned) == ["todo", "blocked", "blocked"]
    assert planned.blocked
    reason = planned.cells[1].reason
    assert reason.startswith("waits for features clip of photos/train: prior clip needs clip/ViT-B-32-openai")
    assert "try: bench weights fetch clip/ViT-B-32-openai" in reason
    assert planned.cells[2].reason == reason
    assert job(planned, f"evaluate-{clip.id}").state == "blocked"
    assert states(planned)["shards photos/train"] == "todo"


def test_a_published_network_needs_its_file_and_no_train_split(layout, bare_machine):
    network = PartRef(name="restormer", weights="restormer/deraining")
    ready = cell(backbone=network)
    frozen = refined(backbone=network, variant={"regime": "frozen"}, base=ready)
    planned = plan(layout, listed(ready))
    assert states(planned).keys() == {"shards photos/test", *titles(planned, "train", "evaluate")}
    assert planned.cells[0].reason == (
        "backbone restormer needs restormer/deraining · try: bench weights fetch restormer/deraining"
    )
    assert cell_states(plan(layout, listed(frozen))) == ["blocked"]
    file = bare_machine["PRIORBENCH_WEIGHTS"] / "restormer" / "deraining.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert cell_states(plan(layout, listed(ready), listed(frozen))) == ["todo", "todo"]


def test_weights_that_arrive_unblock(layout, bare_machine):
    clip = listed(refined(prior=PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"})))
    assert plan(layout, clip).blocked
    file = bare_machine["PRIORBENCH_WEIGHTS"] / "openai" / "ViT-B-32.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert not plan(layout, clip).blocked


def test_a_loss_without_weights_blocks_the_training(layout):
    perceptual = LossTerm(part=PartRef(name="perceptual", options={"reduction": "mean"}))
    content = cell(recipe=Recipe(losses=(perceptual,)))
    planned = plan(layout, listed(content))
    assert job(planned, f"train-{content.id}").reason.startswith(
        "loss perceptual needs vgg19/imagenet · try: bench weights fetch vgg19/imagenet"
    )
    assert planned.cells[0].state == "blocked"


def test_a_metric_without_weights_does_not_hold_up_the_rest(layout):
    metrics = ("psnr", "lpips", "ssim")
    planned = plan(layout, listed(cell()), metrics=metrics)
    work = job(planned, f"evaluate-{cell().id}").job.work
    assert isinstance(work, EvaluateWork)
    assert [metric.key for metric in work.metrics] == ["psnr", "ssim"]
    assert planned.cells[0].state == "todo"
    assert LPIPS in planned.cells[0].reason
    assert planned.blocked
    finish_all(layout, listed(cell()))
    finished = plan(layout, listed(cell()), metrics=metrics)
    assert not finished.to_run
    assert finished.cells[0].state == "blocked"
    assert finished.cells[0].reason.startswith(f"without lpips: {LPIPS}")
    assert finished.blocked


def test_a_metric_that_is_on_record_needs_no_weights(layout):
    finish_all(layout, listed(cell()), scores={"psnr": {"a": 20.0}, "lpips": {"a": 0.3}})
    planned = plan(layout, listed(cell()), metrics=("psnr", "lpips"))
    assert not planned.blocked
    assert cell_states(planned) == ["done"]


def test_only_metrics_without_weights_train_and_leave_the_evaluation_blocked(layout):
    planned = plan(layout, listed(cell()), metrics=("lpips",))
    assert job(planned, f"train-{cell().id}").state == "todo"
    assert job(planned, f"evaluate-{cell().id}").state == "blocked"
    assert planned.blocked


ABSENT = '''
from harness.api.dataset import DatasetTraits
from harness.core.errors import DataError

class Absent:
    """A data set whose files are not here."""

    traits = DatasetTraits()

    def __init__(self, *, root: str = "/nowhere"):
        self.root = root

    def splits(self):
        return ("train", "test")

    def fingerprint(self):
        raise DataError("the images are missing", where=self.root, hint="get-absent --to /nowhere")
'''


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "absent.py"
    file.write_text(ABSENT)
    return REGISTRY.extended([Entry("dataset", "absent", f"{file}:Absent")])


def test_missing_images_block_what_trains_on_them_with_the_hint(layout, plugin):
    absent = PartRef(name="absent", options={"root": "/nowhere"})
    lost, base = cell(train=absent), cell()
    planned = plan(layout, listed(base), listed(lost, tests=(photos(),)), registry=plugin)
    assert cell_states(planned) == ["todo", "blocked"]
    assert planned.cells[1].reason == (
        "waits for shards absent/train: dataset absent: /nowhere: the images are missing · "
        "try: get-absent --to /nowhere"
    )


def test_a_missing_test_set_is_left_out_and_the_others_are_scored(layout, plugin):
    absent = PartRef(name="absent", options={"root": "/nowhere"})
    content = refined()
    planned = plan(layout, listed(content, tests=(absent, photos())), registry=plugin)
    evaluate = job(planned, f"evaluate-{content.id}")
    assert isinstance(evaluate.job.work, EvaluateWork)
    assert [samples.dataset.name for samples in evaluate.job.work.tests] == ["photos"]
    assert not any("absent" in job(planned, needed).job.title for needed in evaluate.job.depends)
    assert evaluate.state == "todo"
    assert planned.cells[0].state == "todo"
    assert "without absent: dataset absent: /nowhere: the images are missing" in planned.cells[0].reason
    assert planned.blocked


def test_images_that_changed_since_the_suite_was_read_block(layout):
    changed = PartRef(name="photos", digest="0" * 16)
    planned = plan(layout, listed(cell(train=changed)))
    assert planned.cells[0].state == "blocked"
    assert "changed since the suite was read" in planned.cells[0].reason


def test_limit_takes_the_first_cells_that_can_be_taken_up(layout):
    clip = refined(prior=PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"}))
    cells = [listed(cell(0)), listed(clip), *(listed(cell(seed)) for seed in (1, 2, 3))]
    finish_all(layout, cells[0])
    planned = plan(layout, *cells, limit=2)
    assert cell_states(planned) == ["done", "blocked", "todo", "todo"]
    trains = [each.job.work.cell.seed for each in planned.to_run if isinstance(each.job.work, TrainWork)]
    assert trains == [1, 2]


def test_limit_brings_prerequisites_along(layout):
    frozen = refined(variant={"regime": "frozen"}, base=cell())
    planned = plan(layout, listed(cell(), listed=False, tests=()), listed(frozen), listed(cell(5)), limit=1)
    assert sorted(each.id for each in planned.to_run if each.job.work.kind == "train") == sorted(
        [f"train-{cell().id}", f"train-{frozen.id}"]
    )


def test_counts_and_estimates(layout):
    finish_all(layout, listed(cell(0)))
    planned = plan(layout, listed(cell(0)), listed(cell(1)), listed(refined(1)))
    assert planned.counts() == {"todo": 6, "stale": 0, "blocked": 0, "done": 4}
    assert job(planned, f"train-{cell(1).id}").estimate_s == pytest.approx(60.0)
    assert job(planned, f"evaluate-{cell(1).id}").estimate_s == pytest.approx(3.0)
    assert planned.estimate(at_once=2) == (pytest.approx(31.5), 4)
    assert plan(layout, listed(refined(1))).estimate(2) is None


def test_a_longer_recipe_is_estimated_by_its_steps(layout):
    finish_all(layout, listed(cell(0)))
    longer = cell(1, recipe=Recipe(steps=3000))
    planned = plan(layout, listed(cell(0)), listed(longer))
    assert job(planned, f"train-{longer.id}").estimate_s == pytest.approx(600.0)


def test_a_base_that_is_trained_again_gets_its_own_test_data_again(layout):
    """Its evaluation was done; it becomes stale only as another cell needs the lost checkpoint."""
    base = listed(cell())
    made.finish(layout, cell(), made.values([20.0], [0.5]))
    (layout.checkpoints(cell().id) / "final.safetensors").unlink()
    alone = states(plan(layout, base))
    assert alone["shards photos/test"] == "done"
    frozen = refined(variant={"regime": "frozen"}, base=cell())
    needed = states(plan(layout, base, listed(frozen, tests=())))
    assert needed["evaluate low_light NAFNet base seed 0"] == "stale"
    assert needed["shards photos/test"] == "todo"
    assert needed["shards photos/train"] == "todo"


def test_a_lost_checkpoint_is_no_reason_to_train_for_a_test_set_that_cannot_be_had(layout, plugin):
    absent = PartRef(name="absent", options={"root": "/nowhere"})
    finish_all(layout, listed(cell()))
    (layout.checkpoints(cell().id) / "final.safetensors").unlink()
    planned = plan(layout, listed(cell(), tests=(absent, photos())), registry=plugin)
    assert not planned.to_run
    assert planned.cells[0].reason.startswith("without absent: dataset absent: /nowhere: the images are missing")


def test_a_metric_with_options_is_on_record_under_its_key(layout):
    metrics = (
        SuiteMetric(part=PartRef(name="psnr"), key="psnr", label="PSNR"),
        SuiteMetric(part=PartRef(name="psnr", options={"border": 4}), key="psnr(border=4)", label="PSNR"),
    )
    finish_all(layout, listed(cell()), scores={"psnr": {"a": 20.0}})
    asked = suite(listed(cell())).model_copy(update={"metrics": metrics})
    planned = make_plan(asked, layout, REGISTRY)
    assert [each.job.work.kind for each in planned.to_run] == ["evaluate"]
    assert planned.cells[0].reason == "evaluated before, not yet: psnr(border=4) of photos"
    finish_all(layout, listed(cell()), scores={"psnr": {"a": 20.0}, "psnr(border=4)": {"a": 21.0}})
    assert not make_plan(asked, layout, REGISTRY).to_run
