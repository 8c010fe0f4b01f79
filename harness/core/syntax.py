"""What ruamel.yaml says of broken syntax, in words that say what to do."""

from __future__ import annotations

_BLOCKS = {"a block mapping": "a mapping", "a block collection": "a list", "a block sequence": "a list"}
_FLOWS = {"a flow mapping": "{", "a flow sequence": "["}


def syntax(problem: str, context: str, begun: int, line: int) -> tuple[str, str]:
    """What is wrong and what to try. `problem` and `context`: ruamel's; `begun`: the line in which the broken value
    begins; `line`: the one in which reading stopped.
    """
    about = context.strip().removeprefix("while parsing ").removeprefix("while scanning ")
    since = f", which begins in line {begun}" if begun != line else ""
    if "'\\t'" in problem:
        return "a tab: YAML indents with spaces only", "replace the tab by spaces"
    if "mapping values are not allowed" in problem:
        return problem.strip(), "put text that holds ': ' in quotes, or check the indentation"
    if about in _FLOWS:
        opening = _FLOWS[about]
        what = f"the {opening!r} that begins in line {begun} is not closed"
        return what, f"close it with {'}' if opening == '{' else ']'!r}, or look for a missing comma"
    if about == "a quoted scalar":
        return f"the quotes that begin in line {begun} are not closed", "close them with the same kind of quote"
    if about in _BLOCKS:
        what = f"this line does not go on with {_BLOCKS[about]}{since}"
        return what, "indent it like its neighbours; every item of a list begins with '- ', every key ends in ':'"
    if "could not find expected ':'" in problem:
        return f"no ':' behind a key{since}", "write KEY: VALUE, with a space behind the colon"
    if "cannot start any token" in problem:
        return problem.strip(), "put the text in quotes"
    return " ".join(part.strip() for part in (problem, context) if part.strip()) or "not YAML", ""
