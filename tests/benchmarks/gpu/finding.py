"""What a section of the benchmark found: numbers beside their goals, in a file that is whole after every number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.core.paths import write_json

WHOLE = "whole"
"""How a section ended that measured all that it has."""


@dataclass(frozen=True)
class Goal:
    """What a number is to be; yes and no count as 1 and 0."""

    sign: Literal["≥", "≤", "<", "="]
    value: float

    def met(self, value: float) -> bool:
        if self.sign == "≥":
            return value >= self.value
        if self.sign == "≤":
            return value <= self.value
        return value < self.value if self.sign == "<" else value == self.value


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    name: str
    value: float | bool | None
    """None: not measured, and `note` says why."""
    unit: str = ""
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a number."""
        return None if self.goal is None or self.value is None else self.goal.met(float(self.value))


@dataclass
class Report:
    """The findings of one section, and the file that keeps them."""

    path: Path
    section: str
    machine: Mapping[str, str]
    small: bool = False
    """Whether sizes and networks are those of a trial of the benchmark itself, whose numbers mean nothing."""
    findings: list[Finding] = field(default_factory=list)
    ended: str = "cut off"
    """`WHOLE`, or what ended it before."""
    seconds: float = 0.0

    def tell(
        self, name: str, value: float | bool | None, unit: str = "", goal: Goal | None = None, note: str = ""
    ) -> None:
        """Adds a row and keeps it. A number that is not finite counts as not measured; in small no goal is of numbers,
        only of what is so or not."""
        if self.small and goal is not None and goal.sign != "=":
            goal = None
        if value is not None and not math.isfinite(value):
            value, note = None, f"{note}; not finite: {value}".removeprefix("; ")
        self.findings.append(Finding(name, value, unit, goal, note))
        print(f"  {self.findings[-1].name}: {shown(self.findings[-1])}", flush=True)
        self.keep()

    def skip(self, name: str, why: str) -> None:
        """Adds a row of something that is not measured."""
        self.tell(name, None, note=why)

    def keep(self) -> None:
        write_json(self.path, {**asdict(self), "path": self.path.name})


def read(path: Path) -> Report:
    """A report as `Report.keep` left it. Raises OSError where there is none."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    goals = [Goal(**each["goal"]) if each["goal"] else None for each in content["findings"]]
    found = [Finding(**{**each, "goal": goal}) for each, goal in zip(content["findings"], goals, strict=True)]
    return Report(**{**content, "path": path, "findings": found})


def shown(finding: Finding) -> str:
    """A row in words."""
    if finding.value is None:
        return f"not measured: {finding.note}"
    return _valued(finding) + ("" if not finding.note else f" ({finding.note})")


def _valued(finding: Finding) -> str:
    if isinstance(finding.value, bool):
        return "yes" if finding.value else "no"
    assert finding.value is not None
    number = f"{finding.value:.0f}" if abs(finding.value) >= 1000 else f"{finding.value:.3g}"
    return f"{number}{'' if finding.unit in ('×', '%') else ' '}{finding.unit}".strip()


def _goal(finding: Finding) -> str:
    if finding.goal is None:
        return ""
    if isinstance(finding.value, bool):
        return "yes" if finding.goal.value else "no"
    return f"{finding.goal.sign} {finding.goal.value:g}{finding.unit if finding.unit in ('×', '%') else ''}"


def table(reports: Sequence[Report]) -> str:
    """All findings as one Markdown table, with the machines that gave them, and a line on each section's end."""
    lines: list[str] = []
    machines = dict.fromkeys(tuple(report.machine.items()) for report in reports)
    lines += [", ".join(f"{name} {value}" for name, value in machine) for machine in machines]
    if any(report.small for report in reports):
        lines.append("A trial in small: these numbers say nothing about a GPU.")
    lines += ["", "| section | what | measured | goal | |", "|---|---|---|---|---|"]
    verdicts = {True: "met", False: "missed", None: ""}
    for report in reports:
        for each in report.findings:
            words = [report.section, each.name, shown(each), _goal(each), verdicts[each.met]]
            lines.append("| " + " | ".join(word.replace("|", "/") for word in words) + " |")
    counted = [each.met for report in reports for each in report.findings if each.met is not None]
    lines += ["", f"{counted.count(True)} of {len(counted)} goals met."]
    lines += [f"- {each.section}: {each.ended}, {each.seconds:.0f} s" for each in reports]
    return "\n".join(lines) + "\n"
