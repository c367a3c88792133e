"""`getResolvedOptions`, as AWS documents it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn


class GlueArgumentError(Exception):
    """A named option is missing, or has no value."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:
    """Returns the values of the named options, and ignores all others.

    As in Glue, a name's dashes become underscores, and the beginning of a name stands for the name.
    Raises GlueArgumentError if an option is missing.
    """
    parser = _Parser()
    for name in options:
        parser.add_argument(f"--{name}", required=True)
    found, _ = parser.parse_known_args(list(args[1:]))
    return vars(found)
