"""`bench weights`: lists, fetches, imports and checks published weights."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.api.declaration import declaration
from harness.cli import exits
from harness.cli.tables import print_table
from harness.core.errors import HarnessError, MissingWeights, UnknownName, did_you_mean
from harness.core.identity import file_sha256
from harness.core.scalars import resolve_scalar
from harness.parts.catalogue import REGISTRY
from harness.spec.options import fill
from harness.weights.catalogue import Checkpoint, find, known, named, own, state, without_origin
from harness.weights.download import download
from harness.weights.folder import weights_folder

weights = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Published weights.")

IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="As `bench weights list` names them.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file as it was downloaded.")]
AsOption = Annotated[str, typer.Option("--as", metavar="ID", help="The id of the weights in the file.")]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", metavar="NAME", help="For weights of your own: the backbone that they belong to."),
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of that backbone. May be repeated."),
]
EntryOption = Annotated[
    str,
    typer.Option(
        "--entry",
        metavar="KEYS",
        help="Which weights of the file, by the keys that lead to them, such as params_ema or state_dict.net. "
        "Default: those that fit, averaged ones first.",
    ),
]


@weights.callback()
def _group() -> None:
    """Published weights: list them, fetch them, import a file that you have, check those on this machine.

    They lie in $PRIORBENCH_WEIGHTS (default: ~/.cache/priorbench/weights); torchvision's lie in its own cache.
    """


@weights.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="Part of an id, or a pattern with *.")] = "",
) -> None:
    """List the known weights, and say which are on this machine."""
    every = [*known(), *own(), *without_origin()]
    chosen = [item for item in every if pattern in item.id or fnmatch(item.id, pattern)]
    if not chosen:
        raise UnknownName(f"no checkpoint matches {pattern!r}", hint=did_you_mean(pattern, [c.id for c in known()]))
    rows = ((state(item), item.id, item.taker, item.licence, _short(item.path)) for item in chosen)
    print_table(("state", "id", "for", "licence", "file"), rows)


@weights.command()
def fetch(ids: IdsArgument) -> None:
    """Download weights, or say which page has them. Exit code 3: some could not be downloaded."""
    _each([find(name) for name in ids], _fetch)


@weights.command()
def verify(
    subjects: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...|FILE]", help="Default: all on this machine.")
    ] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="ID", help="The id of the weights that FILE should have.")
    ] = None,
    entry: EntryOption = "",
) -> None:
    """Check digests, names and shapes; say what differs."""
    if as_ is not None:
        if not subjects or len(subjects) != 1:
            raise UnknownName("--as says what one file should be", hint="bench weights verify FILE --as ID")
        file = Path(subjects[0])
        _each([find(as_)], lambda checkpoint: f"{file}: ok: {_tensors().check(file, checkpoint, entry=entry)}")
        return
    if entry:
        raise UnknownName("--entry says where in one file the weights are", hint="bench weights verify FILE --as ID")
    here = [item for item in known() if state(item) != "missing"] + own() + without_origin()
    chosen = [_checkpoint(subject) for subject in subjects] if subjects else here
    if not chosen:
        typer.echo(f"no weights are here yet, neither in {_short(weights_folder())} nor in torch.hub's cache")
    _each(chosen, lambda checkpoint: f"{checkpoint.id}: ok: {_tensors().verify(checkpoint)}")


@weights.command("import")
def import_(
    file: FileArgument,
    as_: AsOption,
    backbone: BackboneOption = None,
    option: OptionsOption = None,
    entry: EntryOption = "",
) -> None:
    """Import a file of weights, if it fits its network and is safe to read."""
    if backbone is None:
        if option:
            raise UnknownName("--option belongs to weights of your own", hint="give --backbone too")
        typer.echo(_taken_in(file, find(as_), entry))
        return
    options = _options(backbone, option or ())
    try:
        checkpoint = named(f"backbone {backbone}", options, as_)
    except HarnessError as error:
        raise exits.WrongArgument(error.what, where="--as", hint=error.hint) from error
    try:
        typer.echo(_taken_in(file, checkpoint, entry))
    except _tensors().RefusedOptions as error:
        raise exits.WrongArgument(error.what, where="--option", hint=error.hint) from error


def _each(checkpoints: Sequence[Checkpoint], act: Callable[[Checkpoint], str]) -> None:
    """Calls `act` on each, even after errors. The exit code is that of the worst result."""
    failed = blocked = False
    for checkpoint in checkpoints:
        try:
            typer.echo(act(checkpoint))
        except HarnessError as error:
            blocked |= isinstance(error, MissingWeights)
            failed |= not isinstance(error, MissingWeights)
            typer.echo(f"{checkpoint.id}: {error}", err=True)
    raise typer.Exit(exits.code_of_run(failed=failed, blocked=blocked))


def _fetch(checkpoint: Checkpoint) -> str:
    path = checkpoint.path
    if path.is_file() and (not checkpoint.place or not checkpoint.digest_problem(file_sha256(path))):
        return f"{checkpoint.id}: is here: {_short(path)}"
    if checkpoint.url is None:
        what = f"has no address to fetch it from by program ({checkpoint.licence})"
        raise MissingWeights(what, where=checkpoint.page, hint=checkpoint.by_hand)
    typer.echo(f"{checkpoint.id}: {checkpoint.licence}, {checkpoint.url}", err=True)
    try:
        if checkpoint.place:
            download(checkpoint.url, path, problem=checkpoint.digest_problem, progress=_progress)
            return f"{checkpoint.id}: is here: {_short(path)}"
        with tempfile.TemporaryDirectory(prefix="priorbench-") as folder:
            file = Path(folder) / checkpoint.published
            download(checkpoint.url, file, problem=checkpoint.digest_problem, progress=_progress)
            return _taken_in(file, checkpoint)
    except HarnessError as error:
        if error.where != checkpoint.url:
            raise
        hint = f"the same command later, or with a network; or {checkpoint.by_hand}"
        raise type(error)(error.what, where=error.where, hint=hint, kind=error.kind) from error


def _taken_in(file: Path, checkpoint: Checkpoint, entry: str = "") -> str:
    imported = _tensors().take_in(file, checkpoint, entry=entry)
    return "\n".join([f"{checkpoint.id}: is here: {_short(imported.path)}", *(f"  {r}" for r in imported.remarks)])


def _checkpoint(subject: str) -> Checkpoint:
    """The checkpoint with this id, or whose file this is."""
    path = Path(subject).expanduser()
    if not path.is_file():
        return next((each for each in without_origin() if each.id == subject), None) or find(subject)
    for checkpoint in [*known(), *own(), *without_origin()]:
        if checkpoint.path.absolute() == path.absolute():
            return checkpoint
    raise UnknownName(
        f"{subject} is not the file of any known weights", hint=f"say what it should be: {subject} --as ID"
    )


def _options(backbone: str, given: Sequence[str]) -> dict[str, Any]:
    """Options of a backbone from texts such as `width=8` or `enc_blk_nums=1,1,28`, checked.

    Raises UnknownName for names that the backbone lacks, WrongArgument for values that are not of the option's kind and
    for a second value.
    """
    title = f"backbone {backbone}"
    declared = declaration(REGISTRY, "backbone", backbone)
    known_options = declared.options
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known_options:
            hint = did_you_mean(name, known_options) if equals else "NAME=VALUE"
            raise UnknownName(f"{backbone} has no option {name!r}" if equals else f"{text!r} sets nothing", hint=hint)
        if name in options:
            raise exits.WrongArgument(f"{name} is given twice", where="--option", hint=f"keep one {name}=VALUE")
        listed = "tuple[" in known_options[name].annotation
        options[name] = tuple(map(resolve_scalar, value.split(","))) if listed else resolve_scalar(value)
    for mistake in fill(known_options, options, title, declared.traits.rules).mistakes:
        if mistake.path and mistake.path[0] in options:
            where = f"--option {'.'.join(map(str, mistake.path))}"
            raise exits.WrongArgument(mistake.what, where=where, hint=mistake.hint)
    return options


def _tensors() -> Any:
    """The module that reads and writes tensors, imported late because it imports PyTorch."""
    return import_module("harness.models.published")


def _progress(done: int, total: int | None) -> None:
    if sys.stderr.isatty():
        of = f" of {total / 1e6:.0f}" if total else ""
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r  {done / 1e6:.0f}{of} MB{end}")
        sys.stderr.flush()


def _short(path: Path) -> str:
    """A path, with ~ for the home folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
