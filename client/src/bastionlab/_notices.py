"""Warnings that point at the user's own line, however deep they are given."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from bastionlab.errors import BastionLabWarning

_PACKAGE = str(Path(__file__).parent)


def notice(text: str, kind: type[BastionLabWarning] = BastionLabWarning) -> None:
    """Warns, in the name of the nearest caller outside of this package."""
    depth = 1
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, kind, stacklevel=depth + 1)
