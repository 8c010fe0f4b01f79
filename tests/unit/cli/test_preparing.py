"""What `bench data prepare` says of how far it is."""

from __future__ import annotations

from pathlib import Path

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import NOTE, waiting_shard
from harness.cli.preparing import images_done, told
from harness.core.paths import write_text


def test_images_of_finished_shards_are_counted_and_the_last_one_may_be_small(tmp_path: Path) -> None:
    train, test = (PreparedSet(dataset=PartRef(name="lol_v1", digest="0"), split=split) for split in ("train", "test"))
    sets = [(train, 130), (test, 5)]
    assert images_done(sets, tmp_path) == 0
    for shard, so_far in ((1, 64), (2, 66), (0, 130)):
        write_text(waiting_shard(train, tmp_path, shard) / NOTE, "{}")
        assert images_done(sets, tmp_path) == so_far
    (waiting_shard(test, tmp_path, 0).parent / ".000000.0123abcd.tmp").mkdir(parents=True)
    write_text(waiting_shard(test, tmp_path, 7) / NOTE, "{}")  # of another content, with more images
    assert images_done(sets, tmp_path) == 130
    test.folder(tmp_path).mkdir(parents=True)
    assert images_done(sets, tmp_path) == 135
    again = {test.folder(tmp_path): test.folder(tmp_path).stat().st_ino}  # damaged, and made again
    assert images_done(sets, tmp_path, again) == 130
    test.folder(tmp_path).rename(tmp_path / "aside")
    test.folder(tmp_path).mkdir()
    assert images_done(sets, tmp_path, again) == 135


def test_the_pace_is_that_of_the_images_of_this_run() -> None:
    assert told(0, 1000, 0, 5.0) == "0/1,000 images"
    assert told(700, 1000, 200, 20.0) == "700/1,000 images · 10.0 images/s · 30 s left"
    assert told(1000, 1000, 500, 20.0) == "1,000/1,000 images · 25.0 images/s"
