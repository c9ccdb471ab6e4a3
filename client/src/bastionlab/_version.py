"""The version of the package, in its one place (tools/set-version.sh changes it), and how far another one is away."""

from __future__ import annotations

import re

__version__ = "1.0.0"

# The protocol this client speaks (session.proto), its major version; a server that speaks another one is a VersionMismatch.
PROTOCOL = 1

_THREE = re.compile(r"(\d{1,6})\.(\d{1,6})\.\d{1,6}", re.ASCII)


def is_far(ours: str, other: str) -> bool:
    """Further away than is tested: another major, or more than one minor version. A text that is no version is not far."""
    our, their = _THREE.match(ours), _THREE.match(other)
    if our is None or their is None:
        return False
    return our[1] != their[1] or abs(int(our[2]) - int(their[2])) > 1
