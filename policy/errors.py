"""The one error that a user sees as a sentence rather than as a traceback."""

import sys
from collections.abc import Callable, Collection


class InputError(Exception):
    """Input that cannot be used: the message says what arrived, what was expected and what to do."""


class Refused(InputError):
    """A policy that is served elsewhere does not know the instruction."""


def exit_code(main: Callable[[], None]) -> int:
    """Run a command's `main`: 0 when it returns; one line on stderr and 2 for an `InputError`, 130 for Ctrl-C."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


def listed(text: str, kind: str, valid: Collection[str]) -> list[str]:
    """Names with commas between them; `InputError` for one that is not valid, or given twice."""
    names = text.split(",")
    for name in names:
        if name not in valid:
            raise unknown(kind, name, valid)
        if names.count(name) > 1:
            raise InputError(f"{kind} {name!r}: got it {names.count(name)} times, expected each once")
    return names


def unknown(kind: str, name: object, valid: object) -> InputError:
    """An unknown name: says the nearest valid one and lists all of them."""
    import difflib

    names = sorted(str(v) for v in valid)  # type: ignore[attr-defined]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(
        f"unknown {kind} {name!r}{hint} Valid: {', '.join(names)}."
        if hint
        else f"unknown {kind} {name!r}. Valid: {', '.join(names)}."
    )
