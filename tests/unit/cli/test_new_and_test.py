"""`bench new` and `bench test`: templates that work, and verdicts in plain words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.kinds import KINDS
from harness.cli import exits, main
from tests.unit.cli.results import bench

LIAR = '''"""A metric and a loss; only the loss keeps its promises."""

import numpy as np
from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.metric import MetricTraits


class Upside:
    """Says that its error is better the higher it is."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol, *, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        if truth.max() == 0:
            raise ValueError("the truth is black")
        return float((np.abs(restored - truth) ** self.power).mean())


class Squares(nn.Module):
    """Mean squared error."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        return (restored - truth).square().mean()


CATALOGUE = (("metric", "upside", "Upside"), ("loss", "squares", "Squares"))
'''


@pytest.fixture
def liar(tmp_path: Path) -> Path:
    file = tmp_path / "liar.py"
    file.write_text(LIAR)
    return file


def bench_alone(*words: object) -> subprocess.CompletedProcess[str]:
    """`bench <words>` in a process of its own, whose output is strict UTF-8."""
    command = [sys.executable, "-c", "from harness.cli import main\nmain.main()", *map(str, words)]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=strict)


@pytest.mark.parametrize("kind", KINDS)
def test_every_template_keeps_all_promises(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"soft_{kind}.py"
    made = bench("new", kind, file)
    assert made.exit_code == 0, made.output
    assert f"{file}: the {kind} soft_{kind}\n  test it:  bench test {file}\n" in made.output
    text = file.read_text()
    assert f'CATALOGUE = (("{kind}", "soft_{kind}", "Soft{kind.title()}"),)' in text
    assert f"class Soft{kind.title()}" in text
    assert "my_part" not in text
    assert "MyPart" not in text
    tested = bench("test", file)
    assert tested.exit_code == 0, tested.output
    assert tested.output.startswith(f"{kind} soft_{kind} · all ")
    assert "promises kept" in tested.output


def test_new_refuses_what_would_be_lost_or_taken(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("precious")
    again = bench("new", "metric", file)
    assert again.exit_code == exits.WRONG
    assert "this file exists already" in again.output
    assert file.read_text() == "precious"
    taken = bench("new", "metric", tmp_path / "psnr.py")
    assert taken.exit_code == exits.WRONG
    assert "there is a metric called 'psnr' already" in taken.output
    assert "'My-Metric' cannot be the name of a part" in bench("new", "metric", tmp_path / "My-Metric.py").output
    unknown = bench("new", "metrik", tmp_path / "new.py")
    assert unknown.exit_code == exits.WRONG
    assert "did you mean 'metric'?" in unknown.output
    nowhere = bench("new", "metric", tmp_path / "none" / "new.py")
    assert nowhere.exit_code == exits.WRONG
    assert f"there is no such folder\n  try: mkdir -p {tmp_path / 'none'}" in nowhere.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize("name", ["true", "null", "12", "0x1f", "1e3", "class", "n" * 65])
def test_new_refuses_names_that_suites_or_python_read_otherwise(tmp_path: Path, name: str) -> None:
    for refused in (
        bench("new", "metric", tmp_path / f"{name}.py"),
        bench("new", "metric", tmp_path / "x.py", "--name", name),
    ):
        assert refused.exit_code == exits.WRONG
        assert "cannot be the name of a part\n  try: --name my_metric" in refused.output
    assert not list(tmp_path.iterdir())


def test_new_writes_python_files_alone(tmp_path: Path) -> None:
    result = bench("new", "metric", tmp_path / "mine")
    assert result.exit_code == exits.WRONG
    assert f"a part is written to a .py file\n  try: bench new metric {tmp_path / 'mine'}.py" in result.output


@pytest.mark.parametrize("command", [["test"], ["list", "metrics", "--plugin"]])
def test_what_is_no_plugin_file_is_refused(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "part.txt").write_text(LIAR)
    for file, what in (
        (tmp_path / "part.txt", "a plug-in is a .py file"),
        (Path("/dev/null"), "a plug-in is a .py file"),
        (tmp_path / "folder.py", "this is not a file"),
        (tmp_path / "none.py", "there is no such file"),
        (tmp_path / f"{'n' * 300}.py", "there is no such file"),
    ):
        result = bench(*command, file)
        assert result.exit_code == exits.WRONG
        assert f"{what}\n  try: bench new KIND FILE.py writes one" in result.output


def test_docstrings_are_listed_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(LIAR.replace("Mean squared error.", "In [/nope] and [red] :smile:."))
    result = bench("list", "losses", "--plugin", file)
    assert result.exit_code == 0
    words = " ".join(result.output.replace("│", " ").split())
    assert all(word in words for word in ("[/nope]", "[red]", ":smile:"))


def test_half_characters_do_not_stop_the_output(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(LIAR.replace('"the truth is black"', '"the truth is " + chr(0xD800)'))
    done = bench_alone("test", file)
    assert done.returncode == exits.FAILED
    assert "ValueError: the truth is \\ud800 (line " in done.stdout
    assert done.stderr == ""


def test_new_takes_a_name(tmp_path: Path) -> None:
    file = tmp_path / "parts.py"
    assert bench("new", "metric", file, "--name", "mean_error").exit_code == 0
    assert '(("metric", "mean_error", "MeanError"),)' in file.read_text()


def test_what_is_broken_is_said_in_words(liar: Path) -> None:
    result = bench("test", liar)
    assert result.exit_code == exits.FAILED
    lines = result.output.splitlines()
    assert lines[0].startswith("metric upside · 3 of 10 promises broken")
    assert "  promised: Gets worse with growing noise, in the direction that its traits say" in lines
    assert any(line.startswith("  seen:     higher_is_better=True, and it gives ") for line in lines)
    black = LIAR.splitlines().index('            raise ValueError("the truth is black")') + 1
    assert f"  seen:     ValueError: the truth is black (line {black})" in lines
    assert lines[-1].startswith("loss squares · all ")
    assert "Traceback" not in result.output
    assert "kept:" not in result.output


def test_verbose_shows_the_traceback_and_what_is_kept(liar: Path) -> None:
    result = bench("test", liar, "-v")
    assert result.exit_code == exits.FAILED
    assert "Traceback (most recent call last)" in result.output
    assert "  kept:     Gives one number per image, under every protocol and at odd sizes" in result.output


def test_options_can_be_set(liar: Path, tmp_path: Path) -> None:
    assert "ValueError" in bench("test", liar, "--set", "power=2").output
    for argument, what in (
        ("powers=2", "--set:1:1 · powers · no part of this file has the option 'powers' · try: did you mean 'power'?"),
        ("power=high", "upside.power · expected a number, not 'high'"),
        ("power", "expected OPTION=VALUE"),
    ):
        result = bench("test", liar, "--set", argument)
        assert result.exit_code == exits.WRONG, argument
        assert what in result.output


def test_an_option_without_a_default_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "needs.py"
    file.write_text(LIAR.replace("power: float = 1.0", "power: float"))
    result = bench("test", file)
    assert result.exit_code == exits.WRONG
    assert "metric upside needs the option 'power'" in result.output
    assert "--set OPTION=VALUE" in result.output


def test_all_mistakes_of_a_file_come_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(LIAR.replace("higher_is_better", "higher_is_beter").replace("= LossTraits()", "= Traits()"))
    result = bench("test", file)
    assert result.exit_code == exits.WRONG
    lines = LIAR.splitlines()
    first = lines.index("    traits = MetricTraits(higher_is_better=True)") + 1
    second = lines.index("    traits = LossTraits()") + 1
    assert f"{file}:{first}:" in result.output
    assert "did you mean 'higher_is_better'?" in result.output
    assert f"{file}:{second}:" in result.output
    assert bench("test", tmp_path / "nothing.py").exit_code == exits.WRONG
    (tmp_path / "empty.py").write_text("CATALOGUE = ()\n")
    assert "names no parts" in bench("test", tmp_path / "empty.py").output


def test_missing_weights_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "heavy.py"
    file.write_text(
        LIAR.replace("LossTraits()", 'LossTraits(weights=(Published("vgg19/imagenet"),))')
        .replace("from harness.api.metric", "from harness.api.traits import Published\nfrom harness.api.metric")
        .replace("higher_is_better=True", "higher_is_better=False")
        .replace("if truth.max() == 0:", "if False:")
    )
    result = bench("test", file)
    assert result.exit_code == exits.BLOCKED
    assert (
        "loss squares · not tested: it needs vgg19/imagenet\n  try: bench weights fetch vgg19/imagenet" in result.output
    )


def test_a_loss_is_tested_on_what_the_network_of_its_file_makes(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    file.write_text('''
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.loss import LossInputs, LossTraits
from harness.api.traits import LossUse


class Halves(nn.Module):
    """Predicts the noise, and says so."""

    traits = BackboneTraits(losses=(LossUse("noise"),), outputs=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def outputs(self, lq_BCHW):
        noise = self.conv(lq_BCHW)
        return {"restored": lq_BCHW - noise, "noise": noise}

    def forward(self, lq_BCHW):
        return self.outputs(lq_BCHW)["restored"]


class Noise(nn.Module):
    """Compares the noise with the true one."""

    traits = LossTraits(takes="inputs")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, inputs: LossInputs):
        return (inputs.outputs["noise"] - (inputs.lq_BCHW - inputs.gt_BCHW)).square().mean()


CATALOGUE = (("backbone", "halves", "Halves"), ("loss", "noise", "Noise"))
''')
    result = bench("test", file)
    assert result.exit_code == 0, result.output


def test_nothing_heavy_is_imported_for_arrays(tmp_path: Path) -> None:
    file = tmp_path / "error.py"
    assert bench("new", "metric", file).exit_code == 0
    code = (
        "import sys\nfrom harness.cli import main\nsys.argv = ['bench', 'test', sys.argv[1]]\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'pytest', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, file], check=True)


def test_contracts_need_no_pytest() -> None:
    files = sorted((Path(main.__file__).parents[1] / "testing").rglob("*.py"))
    assert len(files) > 16
    imports = {file.name: re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.M) for file in files}
    assert not [name for name, found in imports.items() if "pytest" in found]


def test_a_file_that_cannot_run_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "unimportable.py"
    file.write_text(LIAR.replace("import numpy as np", "import numpy as np\nimport no_such_package"))
    result = bench("test", file)
    assert result.exit_code == exits.WRONG
    assert result.output.count(f"{file}:4:1 · import · no module named 'no_such_package'") == 1


def test_a_part_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "unmade.py"
    body = "        super().__init__()\n\n    def forward"
    assert body in LIAR
    file.write_text(LIAR.replace(body, "        raise RuntimeError('no luck')\n\n    def forward"))
    result = bench("test", file)
    assert result.exit_code == exits.FAILED
    *_, title, seen = result.output.splitlines()
    assert title == "loss squares · cannot be made:"
    assert seen.startswith("  seen:     RuntimeError: no luck (line ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_any_kind_that_cannot_be_imported_is_said_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"soft_{kind}.py"
    assert bench("new", kind, file).exit_code == 0
    file.write_text(f"{file.read_text()}\nraise RuntimeError('no luck')\n")
    lines = bench("test", file).output.splitlines()
    assert lines[0] == f"{kind} soft_{kind} · cannot be made:"
    assert [line[:30] for line in lines[1:]] == ["  seen:     RuntimeError: no l"]


@pytest.mark.parametrize(
    "deed",
    ["print('babble ' * 1000)", "sys.stdout = sys.stderr = None", "sys.stdout.close(); sys.stderr.close()"],
)
def test_what_a_part_does_to_the_output_hides_no_verdict(tmp_path: Path, deed: str) -> None:
    file = tmp_path / "loud.py"
    loud = LIAR.replace("import numpy", "import sys\n\nimport numpy").replace(
        "        if truth.max", f"        {deed}\n        if truth.max"
    )
    file.write_text(loud)
    done = bench_alone("test", file)
    assert done.returncode == exits.FAILED
    assert done.stdout.startswith("metric upside · 3 of 10 promises broken")
    assert "ValueError: the truth is black" in done.stdout
    assert "babble" not in done.stdout
    assert "loss squares · all " in done.stdout
    assert done.stderr == ""
