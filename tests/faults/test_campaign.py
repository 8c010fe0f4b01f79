"""A slice of the fault campaign (tests/faults/campaign): a few faults of each kind that strikes most, a few cells."""

from __future__ import annotations

import random

import pytest

from tests.faults.campaign.__main__ import Campaign
from tests.faults.campaign.world import Size, World

pytestmark = pytest.mark.xdist_group("campaign")


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_a_run_that_is_struck_ends_with_the_table_of_one_that_is_not():
    world = World(Size(alone=1, gangs=1, steps=96, checkpoint_every=12))
    kinds = ["worker killed", "rank killed", "raylet killed", "driver killed"]
    campaign = Campaign(world, 8, random.Random(3), kinds, quick=(1.0, 3.0))
    try:
        campaign.run()
    finally:
        world.close()
        world.remove()
    assert len(campaign.struck) >= 4
    assert campaign.faults == [], campaign.report()
