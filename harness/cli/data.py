"""`bench data`: takes in pictures, prepares data sets of the field, and shows, verifies, compares and moves sets.

Each command lives in a file of its own, `data_<command>.py`; those that move sets share `data_move.py`.
"""

from __future__ import annotations

import typer

from harness.cli.data_add import add
from harness.cli.data_audit import audit
from harness.cli.data_example import example
from harness.cli.data_list import list_
from harness.cli.data_move import pull, push
from harness.cli.data_prepare import prepare
from harness.cli.data_show import show
from harness.cli.data_verify import verify

data = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Data sets.")


@data.callback()
def _group() -> None:
    """Data sets: take in your own pictures, prepare those of the field, bring prepared sets to a store and back."""


data.command()(add)
data.command()(show)
data.command()(prepare)
data.command()(example)
data.command()(verify)
data.command()(audit)
data.command("list")(list_)
data.command()(push)
data.command()(pull)
