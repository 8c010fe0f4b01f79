"""What planning makes of damage and of change: digests decide, and the least is made again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.core.damage import note_damage
from harness.core.identity import sealed, unsealed
from harness.core.paths import write_json
from harness.parts.catalogue import REGISTRY
from harness.planning.plan import make_plan
from harness.records import store
from harness.records.model import vectors_of, weights_of
from tests.unit.records import made
from tests.unit.records.made import cell, listed, photos, refined, suite

BASE = cell()
FROZEN = refined(variant={"regime": "frozen"}, base=BASE)
SOURCE = cell(task=made.task("derain"))
READER = refined(prior=PartRef(name="restoration", digest=SOURCE.id), prior_source=SOURCE)
LIVE = refined(prior=PartRef(name="restoration", digest=SOURCE.id), prior_source=SOURCE, variant={"features": "live"})


def plan(layout, *cells):
    return make_plan(suite(*map(listed, cells)), layout, REGISTRY)


def seal(path, **changes):
    """Writes a file's object anew, sealed: a change, no damage."""
    write_json(path, sealed(json.loads(path.read_text()) | changes))


def to_run(planned):
    return [(each.job.kind, each.job.cell_id) for each in planned.to_run]


def said(planned, content):
    return next((each.state, each.reason) for each in planned.cells if each.cell_id == content.id)


def finish(layout, content):
    """What a finished cell leaves, with the digests of all that it was made from."""
    test = content.test_set(photos()).samples()
    features = [each for each in (content.train_features(0), content.test_features(test)) if each]
    made.prepare(layout, content.train_samples.stored, test.stored, *features)
    folders = {
        f"{each.name}/{each.split}": each.folder(layout.data) for each in (content.train_samples.stored, test.stored)
    }
    folders |= {vectors_of(f.name): f.folder(layout.data) for f in features}
    weights = {}
    for upstream in content.requires:
        weights[weights_of(upstream.id)] = store.load(layout, upstream.id).training.checkpoint_sha256
    for each in features:
        seal(each.folder(layout.data) / "manifest.json", weights=weights if content.prior_source else {})
    data = {name: unsealed((folder / "manifest.json").read_bytes()).sha256 for name, folder in folders.items()}
    record = made.finish(layout, content, made.values([20.0], [0.5]), data=data)
    provenance = record.provenance.model_copy(update={"weights": weights})
    store.save(layout, record.model_copy(update={"provenance": provenance}))


def train_again(layout, content, weights: bytes = b"others"):
    """Leaves other weights, as a training on another machine would."""
    layout.final_weights(content.id).write_bytes(weights)
    record = store.load(layout, content.id)
    training = record.training.model_copy(update={"checkpoint_sha256": hashlib.sha256(weights).hexdigest()})
    store.save(layout, record.model_copy(update={"training": training}))


@pytest.mark.parametrize(
    ("upstream", "content", "why"),
    [
        (BASE, FROZEN, f"its base cell ({BASE.id}) was trained again to other weights"),
        (SOURCE, READER, f"its prior's network (cell {SOURCE.id}) was trained again to other weights"),
        (SOURCE, LIVE, f"its prior's network (cell {SOURCE.id}) was trained again to other weights"),
    ],
)
def test_a_cell_whose_upstream_has_other_weights_is_stale(layout, upstream, content, why):
    for each in (upstream, content):
        finish(layout, each)
    assert plan(layout, upstream, content).to_run == ()
    train_again(layout, upstream)
    planned = plan(layout, upstream, content)
    assert said(planned, upstream)[0] == "done"
    assert said(planned, content) == ("stale", why)
    vectors = [each.reason for each in planned.to_run if each.job.kind == "features"]
    assert set(vectors) <= {why}
    assert len(vectors) == {FROZEN.id: 0, READER.id: 2, LIVE.id: 1}[content.id]
    assert [each for each in to_run(planned) if each[1]] == [("train", content.id), ("evaluate", content.id)]


def test_an_upstream_that_is_not_on_record_is_believed(layout):
    finish(layout, BASE)
    finish(layout, FROZEN)
    record = store.load(layout, FROZEN.id)
    store.save(layout, record.model_copy(update={"provenance": record.provenance.model_copy(update={"weights": {}})}))
    train_again(layout, BASE)
    assert plan(layout, BASE, FROZEN).to_run == ()


def test_vectors_that_were_made_anew_and_differ_make_their_cells_stale(layout):
    content = refined()
    finish(layout, content)
    assert plan(layout, content).to_run == ()
    test = content.test_features(content.test_set(photos()).samples()).folder(layout.data) / "manifest.json"
    seal(test, shards=[])
    planned = plan(layout, content)
    assert said(planned, content) == ("stale", "prior vectors of test images made anew since: photos")
    assert to_run(planned) == [("evaluate", content.id)]
    seal(content.train_features(0).folder(layout.data) / "manifest.json", shards=[])
    planned = plan(layout, content)
    assert said(planned, content) == (
        "stale",
        "its prior vectors have been made anew and differ from those it saw",
    )
    assert [kind for kind, _ in to_run(planned)] == ["train", "evaluate"]


def damages(path):
    """Every kind of damage to a JSON file, each done to the sound one."""
    text = path.read_bytes()
    for place in (3, len(text) // 2, len(text) - 20):
        flipped = bytearray(text)
        flipped[place] ^= 1
        yield lambda flipped=flipped: path.write_bytes(flipped)
    yield lambda: path.write_bytes(b"")
    yield lambda: path.write_bytes(b"[" * 100_000)
    yield lambda: (path.unlink(), path.mkdir())
    yield lambda: (path.rmdir(), path.symlink_to(path))


@pytest.mark.parametrize("which", ["train", "test", "train vectors", "test vectors"])
def test_a_damaged_manifest_is_mended_and_its_cells_stay_done(layout, which):
    content = refined()
    finish(layout, content)
    test = content.test_set(photos()).samples()
    made_set: Any = {
        "train": content.train_samples.stored,
        "test": test.stored,
        "train vectors": content.train_features(0),
        "test vectors": content.test_features(test),
    }[which]
    path = made_set.folder(layout.data) / "manifest.json"
    if "vectors" not in which:
        seal(path)
    whole = path.read_bytes()
    for damage in damages(path):
        damage()
        planned = plan(layout, content)
        state, reason = said(planned, content)
        assert state == "done", reason
        assert f"{path.parent.name}/manifest.json is damaged" in reason
        kind = "features" if "vectors" in which else "shards"
        assert [(each.job.kind, "manifest.json is damaged" in each.reason) for each in planned.to_run] == [(kind, True)]
    path.unlink()
    path.write_bytes(whole)
    assert plan(layout, content).to_run == ()


@pytest.mark.parametrize("noted", [True, False])
def test_a_damaged_file_beside_the_manifest_is_mended(layout, noted):
    finish(layout, BASE)
    folder = BASE.train_samples.stored.folder(layout.data)
    entry = {"name": "000000.tar", "sha256": "0" * 64, "bytes": 3}
    seal(folder / "manifest.json", shards=[entry])
    (folder / "000000.tar").write_bytes(b"abc")
    record = store.load(layout, BASE.id)
    name, sha256 = f"{BASE.train_samples.stored.name}/train", unsealed((folder / "manifest.json").read_bytes()).sha256
    provenance = record.provenance.model_copy(update={"data": record.provenance.data | {name: sha256}})
    store.save(layout, record.model_copy(update={"provenance": provenance}))
    assert plan(layout, BASE).to_run == ()
    if noted:
        note_damage(folder, "000000.tar: changed: sha256 is 1")
    else:
        (folder / "000000.tar").write_bytes(b"ab")
    planned = plan(layout, BASE)
    how = "changed: sha256 is 1" if noted else "2 bytes instead of 3"
    assert [each.reason for each in planned.to_run] == [f"train/000000.tar is damaged: {how}"]
    assert said(planned, BASE) == (
        "done",
        f"shards photos/train: train/000000.tar is damaged: {how}; its results stay",
    )


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE])
def test_a_set_that_cannot_be_read_now_makes_no_job_that_nothing_needs(layout, monkeypatch, code):
    finish(layout, BASE)
    path = BASE.train_samples.stored.folder(layout.data) / "manifest.json"
    read = type(path).read_bytes

    def refuse(file):
        if file == path:
            raise OSError(code, os.strerror(code))
        return read(file)

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    planned = plan(layout, BASE)
    assert planned.to_run == ()


def test_a_base_whose_weights_are_damaged_is_trained_again_when_something_needs_it(layout):
    finish(layout, BASE)
    finish(layout, FROZEN)
    path = layout.final_weights(BASE.id)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert plan(layout, BASE, FROZEN).to_run == ()  # nothing reads it
    os.unlink(layout.record(FROZEN.id))
    planned = plan(layout, BASE, FROZEN)
    damage = "its checkpoint is damaged: final.safetensors is not the file that its record names"
    assert said(planned, BASE) == ("stale", damage)
    assert ("train", BASE.id) in to_run(planned)


def test_weights_that_an_evaluation_complained_of_are_trained_again(layout):
    finish(layout, BASE)
    layout.final_weights(BASE.id).write_bytes(b"others")
    record = store.load(layout, BASE.id)
    store.save(layout, record.model_copy(update={"status": "trained", "evaluations": (), "images_sha256": None}))
    assert to_run(plan(layout, BASE)) == [("evaluate", BASE.id)]  # which checks them itself
    made.fail(layout, BASE, "checkpoint", "has SHA-256 1, expected 2")
    assert to_run(plan(layout, BASE)) == [("train", BASE.id), ("evaluate", BASE.id)]


def test_an_altered_number_in_a_record_is_damage(layout):
    finish(layout, BASE)
    path = layout.record(BASE.id)
    path.write_text(path.read_text().replace('"final_loss": 0.1', '"final_loss": 0.2'))
    state, reason = said(plan(layout, BASE), BASE)
    assert state == "stale"
    assert path.relative_to(layout.out).as_posix() in reason
    assert "its content is not what was sealed" in reason


def test_without_its_seal_a_record_is_believed(layout):
    finish(layout, BASE)
    path = layout.record(BASE.id)
    value = json.loads(path.read_text())
    assert value.pop("sealed").startswith("sha256:")
    write_json(path, value)
    assert plan(layout, BASE).to_run == ()


def as_a_folder(path):
    path.unlink()
    path.mkdir()


def as_a_loop(path):
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    "damage",
    [
        as_a_folder,
        as_a_loop,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x00\xff"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text('{"schema_version": 1, "cell_id": 3}'),
    ],
)
def test_a_record_that_cannot_be_read_is_one_cells_trouble(layout, damage):
    other = cell(1)
    finish(layout, BASE)
    finish(layout, other)
    damage(layout.record(BASE.id))
    planned = plan(layout, BASE, other)
    assert said(planned, other)[0] == "done"
    state, reason = said(planned, BASE)
    assert state == "stale"
    assert f"cells/{BASE.id}/record.json: " in reason
    assert to_run(planned) == [("train", BASE.id), ("evaluate", BASE.id)]


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(5, "io")])
def test_a_record_that_may_be_sound_is_never_made_anew(layout, monkeypatch, error):
    other = cell(1)
    finish(layout, BASE)
    finish(layout, other)
    path, read = layout.record(BASE.id), type(layout.out).read_bytes

    def refuse(self):
        if self == path:
            raise error
        return read(self)

    monkeypatch.setattr(type(layout.out), "read_bytes", refuse)
    planned = plan(layout, BASE, other)
    state, reason = said(planned, BASE)
    assert (state, said(planned, other)[0]) == ("blocked", "done")
    assert f"{path}: cannot be read: " in reason
    assert "chmod" in reason
    assert planned.to_run == ()


@pytest.mark.parametrize("damage", [as_a_folder, as_a_loop, lambda path: path.write_bytes(b"0")])
def test_per_image_values_that_cannot_be_read_are_scored_again(layout, damage):
    finish(layout, BASE)
    damage(layout.images(BASE.id))
    planned = plan(layout, BASE)
    assert said(planned, BASE)[0] == "stale"
    assert to_run(planned) == [("evaluate", BASE.id)]


def test_events_decide_nothing(layout):
    finish(layout, BASE)
    layout.events(BASE.id).mkdir()
    assert plan(layout, BASE).to_run == ()
    assert store.read_events(layout, BASE.id) == []
    store.append_event(layout, BASE.id, {"event": "start"})
    assert store.read_events(layout, BASE.id) == [{"event": "start"}]


def test_a_file_in_the_place_of_a_cells_folders_is_that_cells_damage(layout):
    layout.cell(BASE.id).mkdir(parents=True)
    layout.checkpoints(BASE.id).write_text("")
    layout.cell(cell(1).id).write_text("")
    layout.cell(cell(2).id).symlink_to("nowhere")
    planned = plan(layout, BASE, cell(1), cell(2))
    assert said(planned, BASE) == ("stale", f"cells/{BASE.id}/checkpoint is not a folder")
    assert {said(planned, cell(seed))[0] for seed in (1, 2)} == {"stale"}


def test_vectors_of_a_network_that_is_trained_again_are_compared_before_a_new_cell_reads_them(layout):
    finish(layout, SOURCE)
    finish(layout, READER)
    other = READER.model_copy(update={"seed": 7})
    planned = make_plan(suite(*map(listed, (SOURCE, READER, other))), layout, REGISTRY, force=[SOURCE.id])
    vectors = [each for each in planned.to_run if each.job.kind == "features"]
    why = "to be compared with what it is made from, which is made again"
    assert [each.reason for each in vectors] == [why, why]
    assert ("train", other.id) in to_run(planned)
    assert said(planned, READER)[0] == "done"


def test_vectors_that_are_there_need_no_network_that_is_gone(layout):
    finish(layout, SOURCE)
    finish(layout, READER)
    shutil.rmtree(layout.cell(SOURCE.id))
    other = READER.model_copy(update={"seed": 7})
    planned = make_plan(suite(listed(READER), listed(other)), layout, REGISTRY)
    assert to_run(planned) == [("train", other.id), ("evaluate", other.id)]
