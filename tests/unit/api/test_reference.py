"""References: what a part's constructor gets."""

from __future__ import annotations

from harness.api.reference import PartRef


def test_a_constructor_gets_tuples_whatever_json_made_of_them() -> None:
    ref = PartRef(name="noise", options={"sigma": [0.0, 50.0], "nested": [[1, 2], 3], "by": {"name": [4]}, "one": 5})
    again = PartRef.model_validate_json(ref.model_dump_json())
    assert again.arguments == {"sigma": (0.0, 50.0), "nested": ((1, 2), 3), "by": {"name": (4,)}, "one": 5}
    assert again.identity() == ref.identity()


def test_files_stand_beside_options() -> None:
    assert PartRef(name="folder", options={"holdout": 0.1}, files={"lq": "/a"}).arguments == {
        "holdout": 0.1,
        "lq": "/a",
    }
