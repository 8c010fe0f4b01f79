"""Names and texts in the letters and lengths that MLflow takes, so that the true ones can be read back.

MLflow takes letters, digits and `_ . - / :` and blanks in the names of parameters and metrics, at most 250 of them, and
no name that reads as another path (`..`, `a//b`, `/a`, nothing at all). A name that it takes stays as it is. Of the
others

- options are written `name key:value key:value`: `psnr(border=4).photos` becomes `psnr border:4.photos`;
- else every letter that is refused is written `:<its code point, hexadecimal>:`, and `::` stands for the empty name:
  `psnr.plain@50 %` becomes `psnr.plain:40:50 :25:`;
- what is longer is cut and ends with `::` and a digest; the run's tag `priorbench.name.<digest>` has the whole name.

A form is used only where `true_name` gives the name back, so no two names ever become one.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from harness.core.identity import digest

LONGEST_NAME = 250
LONGEST_PARAMETER, LONGEST_TAG = 6000, 5000
"""What MLflow and its databases keep of a value, in characters."""

NAME_TAG = "priorbench.name."
"""Before the digest of a name that was cut, in the key of the tag that has it whole."""

_DIGITS = 32
_TAKEN = re.compile(r"[A-Za-z0-9_. :/-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_. /-]")
_WITHOUT_PATHS = re.compile(r"[A-Za-z0-9_ -]")
_ESCAPED = re.compile(r"(?:[^:]|:[0-9a-f]*:)*")
_ESCAPE = re.compile(r":([0-9a-f]*):")
_CUT = re.compile(rf".*::[0-9a-f]{{{_DIGITS}}}", re.DOTALL)
_VALUE = r"(?:-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?|[A-Za-z_][A-Za-z0-9_]*)"
_OPTIONS = re.compile(rf"([A-Za-z0-9_-]+) (\w+:{_VALUE}(?: \w+:{_VALUE})*)(\..*)?", re.ASCII)
_READABLE = str.maketrans({"(": " ", "=": ":", ")": "", ",": ""})


@lru_cache(maxsize=10_000)  # the cells of a suite have the same names, as a rule
def mlflow_name(text: str) -> str:
    """A name as MLflow takes it, at most 250 characters of ASCII. See the head of this file."""
    for form in (text, text.translate(_READABLE), _escaped(text, _PLAIN), _escaped(text, _WITHOUT_PATHS)):
        if _is_taken(form) and len(form) <= LONGEST_NAME and true_name(form) == text:
            return form
    whole = _escaped(text, _WITHOUT_PATHS)
    return f"{whole[: LONGEST_NAME - _DIGITS - 2]}::{digest(text.encode('utf-8', 'surrogatepass').hex(), _DIGITS)}"


def true_name(name: str) -> str | None:
    """The name that `mlflow_name` made `name` of; None when it was cut, and the run's tag has it."""
    if len(name) == LONGEST_NAME and _CUT.fullmatch(name):
        return None
    if ":" in name and _ESCAPED.fullmatch(name):
        return _ESCAPE.sub(_letter, name)
    found = _OPTIONS.fullmatch(name)
    if found is None:
        return name
    options = ", ".join(option.replace(":", "=", 1) for option in found[2].split(" "))
    return f"{found[1]}({options}){found[3] or ''}"


def cut_names(names: dict[str, str]) -> dict[str, str]:
    """Tags with the whole names of those that were cut, from true names by their names in MLflow."""
    cut = {name: text for name, text in names.items() if true_name(name) is None}
    return {NAME_TAG + name[-_DIGITS:]: stored_text(text, LONGEST_TAG) for name, text in cut.items()}


def stored_text(text: str, longest: int) -> str:
    """A value as databases take it: at most `longest` characters, no lone surrogates, no NUL.

    A longer one is cut, and says its length and the beginning of its digest; the record, an artifact, has it whole.
    """
    clean = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(clean) <= longest:
        return clean
    end = f"… ({len(clean)} characters, digest {digest(clean, 12)})"
    return clean[: longest - len(end)] + end


def _is_taken(name: str) -> bool:
    """Whether MLflow takes a name, but for its length."""
    path = posixpath.normpath(name)
    return bool(_TAKEN.fullmatch(name)) and path == name and path != "." and not path.startswith(("..", "/"))


def _escaped(text: str, plain: re.Pattern[str]) -> str:
    return "".join(c if plain.fullmatch(c) else f":{ord(c):x}:" for c in text) or "::"


def _letter(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else -1
    return chr(code) if 0 <= code <= 0x10FFFF else ""
