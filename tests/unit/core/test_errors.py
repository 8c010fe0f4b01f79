import pickle

from harness.core.errors import DataError, HarnessError, MissingWeights, Problem, SpecErrors, did_you_mean


def test_errors_cross_process_borders_whole():
    for error in (
        HarnessError("what", where="here", hint="that", kind="nan"),
        DataError("torn", where="shard 3"),
        MissingWeights("no file", hint="curl"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (copy.what, copy.where, copy.hint, copy.kind) == (error.what, error.where, error.hint, error.kind)
    problems = SpecErrors([Problem("a.yaml", 3, 1, "x", "bad"), Problem("a.yaml", 1, 1, "y", "worse", "this")])
    assert pickle.loads(pickle.dumps(problems)).problems == problems.problems


def test_problems_are_sorted_by_place_and_told_once():
    late, early = Problem("a.yaml", 12, 1, "x", "bad"), Problem("a.yaml", 2, 5, "y", "worse", "this")
    error = SpecErrors([late, early, late])
    assert str(error) == "a.yaml:2:5 · y · worse · try: this\na.yaml:12:1 · x · bad"


def test_near_misses():
    assert did_you_mean("restromer", ["restormer", "nafnet"]) == "did you mean 'restormer'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", [f"long_name_{i}" for i in range(50)]) == ""
