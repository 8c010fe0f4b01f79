"""The token with which the processes of one Ray cluster know each other.

Ray looks for a token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token, and uses
one only in its mode `token`. Which mode it is in when RAY_AUTH_MODE is not set depends on how a process starts: a
cluster of one's own makes a token and turns the mode on, a head does where a token lies, `ray start --address` and a
driver with `host:port` never do. So nothing is left to it: everything that this package starts says its mode.

- A cluster of this process's own (`for_local`) gets a throw-away token in the environment; no file is written, so that
  it changes nothing for a cluster that is started later on the account.
- A cluster that is joined (`for_cluster`) gets the token that is found; a head of the launchers makes one where there
  is none (`python -m harness.scheduling.token`).

RAY_AUTH_MODE, where the user has set it, is kept.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

COPY = "copy ~/.ray/auth_token of the head's account to this one (mode 0600), or set RAY_AUTH_TOKEN_PATH"
"""What to do where a cluster's token is missing."""

PATIENCE = 10.0
"""Seconds within which a cluster must say whether it takes a token."""

_METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""The first thing that Ray's own client asks a cluster."""


@dataclass(frozen=True)
class Token:
    """A token and where it lies: the name of a variable, or the path of a file."""

    text: str
    place: str

    @property
    def file(self) -> Path | None:
        return None if self.place == TOKEN else Path(self.place)


@dataclass
class _ThrowAway:
    """What the environment was before `for_local` put its own token there."""

    token: str = ""
    before: dict[str, str] | None = None


_OWN = _ThrowAway()


def home_file() -> Path:
    """Where Ray looks last, and where a token that is made is kept."""
    return Path(os.environ.get("HOME") or Path.home()) / ".ray" / "auth_token"


def find_token() -> Token | None:
    """The token that Ray would use in the mode `token`, or None.

    Raises HarnessError when RAY_AUTH_TOKEN_PATH names a file that holds none; Ray ends the process then.
    """
    if text := os.environ.get(TOKEN, "").strip():
        return Token(text, TOKEN)
    if named := os.environ.get(TOKEN_PATH, ""):
        if text := _first_line(Path(named)):
            return Token(text, named)
        hint = f"put the token of the cluster there, or unset {TOKEN_PATH}"
        raise HarnessError(f"{named} holds no token, or cannot be read", where=TOKEN_PATH, hint=hint)
    place = home_file()
    text = _first_line(place)
    return Token(text, str(place)) if text else None


def make_token() -> Token:
    """The token that is found, else a new one in ~/.ray/auth_token: readable by its owner alone, there whole or not at
    all, and one for all who make it at once. Raises HarnessError (kind `storage`) when it cannot be written."""
    found = find_token()
    if found is not None:
        return found
    place = home_file()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, written = tempfile.mkstemp(dir=place.parent, prefix=".auth_token.")  # mkstemp's mode is 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            _link(Path(written), place)
        finally:
            os.unlink(written)
    except OSError as error:
        hint = f"set {TOKEN} or {TOKEN_PATH} instead"
        raise HarnessError(
            f"no token can be kept: {error.strerror}", where=str(place), hint=hint, kind="storage"
        ) from error
    made = find_token()
    assert made is not None, place
    return made


def _link(written: Path, place: Path) -> None:
    """Gives the file its name, unless another process was first. A file without a token is replaced."""
    if os.path.lexists(place) and not _first_line(place):
        os.replace(written, place)
        os.link(place, written)  # to be removed by the caller in either case
        return
    with suppress(FileExistsError):
        os.link(written, place)


def for_local() -> None:
    """Sets the environment for a Ray of this process's own: a new token that ends with it, and no file.

    To be called before ray.init. Nothing is done where the user has chosen another mode than `token`.
    """
    _restore()
    if _mode() not in ("", "token"):
        return
    _OWN.before = {name: os.environ[name] for name in (MODE, TOKEN) if name in os.environ}
    _OWN.token = secrets.token_hex(32)
    os.environ[MODE], os.environ[TOKEN] = "token", _OWN.token
    _tell_ray()


def for_cluster(address: str) -> None:
    """Sets the environment for joining the cluster at `address` ("auto" or "host:port"), as its nodes have it.

    To be called before ray.init. Where the cluster can be asked, it is: Ray itself tries a wrong token for two minutes
    and then says that it failed to connect. Raises HarnessError when the cluster demands a token and there is none or
    another one, or when this process was told to use none.
    """
    _restore()
    if _mode() not in ("", "token"):
        token = None
    else:
        token = find_token()
        if token is None and _mode() == "token":
            raise HarnessError(f"{MODE}=token, and there is no token on this account", where=address, hint=COPY)
        if token is not None:
            os.environ[MODE] = "token"
    _tell_ray()
    place = _resolved(address)
    if place and _refuses(place, token):
        raise _refused(place, token)


def _resolved(address: str) -> str:
    """`host:port` of the cluster that Ray would join; empty where it finds none, which it says itself."""
    if address != "auto":
        return address
    services: Any = import_module("ray._private.services")
    try:
        return str(services.canonicalize_bootstrap_address(address) or "")
    except ConnectionError:
        return ""


def _refused(address: str, token: Token | None) -> HarnessError:
    if token is not None:
        what = f"the cluster does not take the token of {token.place}: its head was started with another one"
        return HarnessError(what, where=address, hint=COPY)
    if _mode():
        what = f"the cluster demands a token, and {MODE}={os.environ[MODE]} here"
        return HarnessError(what, where=address, hint=f"unset {MODE}, or set it to token; {COPY}")
    return HarnessError("the cluster demands a token, and there is none on this account", where=address, hint=COPY)


def _refuses(address: str, token: Token | None) -> bool:
    """Whether the cluster answers that this token (None: none at all) is not its own."""
    grpc: Any = import_module("grpc")

    metadata = [("authorization", f"Bearer {token.text}")] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        try:
            ask(b"", metadata=metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False


def _mode() -> str:
    return os.environ.get(MODE, "").strip().lower()


def _restore() -> None:
    """Takes the throw-away token of a local Ray out of the environment again, unless another has replaced it."""
    if _OWN.before is not None and os.environ.get(TOKEN) == _OWN.token:
        for name in (MODE, TOKEN):
            _put(os.environ, name, _OWN.before.get(name))
        _tell_ray()
    _OWN.before = None


def _put(environment: MutableMapping[str, str], name: str, value: str | None) -> None:
    if value is None:
        environment.pop(name, None)
    else:
        environment[name] = value


def _tell_ray() -> None:
    """Lets a Ray that is imported already read the environment anew: it reads mode and token once a process."""
    if "ray._raylet" in sys.modules:
        compiled: Any = import_module("ray._raylet")
        compiled.Config.initialize("")
        compiled.AuthenticationTokenLoader.instance().reset_cache()


def _first_line(path: Path) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def main(arguments: Sequence[str]) -> int:
    """`python -m harness.scheduling.token [--check [HOST:PORT]]`: the token of this account, made where there is none.

    `--check` makes none: a node that joins needs the head's, which is asked whether this is it. Gives 0, or 1 with
    what is missing on standard error.
    """
    try:
        token = find_token() if arguments else make_token()
        if token is None:
            raise HarnessError("this account has no token of a Ray cluster", where=str(home_file()), hint=COPY)
        for address in arguments[1:]:  # Ray would try another one for long, and end in a traceback
            if _refuses(address, token):
                raise _refused(address, token)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    if not arguments:
        print(_said(token), file=sys.stderr)
    return 0


def _said(token: Token) -> str:
    if token.file is None:
        return f"Ray's token is that of {TOKEN}; set it on every node and for `bench run`"
    copy = f"ssh NODE 'umask 077; mkdir -p ~/.ray; cat > ~/.ray/auth_token' < {token.place}"
    return f"Ray's token: {token.place}. Every machine that does not see this file needs a copy:\n  {copy}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
