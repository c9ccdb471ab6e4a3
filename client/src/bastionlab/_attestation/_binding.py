"""What evidence is bound to: the server's key, its claims, and the caller's nonce and connection.

SECURITY: every part that is hashed has a fixed length, so that no two inputs share an encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256, sha384, sha512

from bastionlab._attestation._refuse import refuse

LABEL = b"bastionlab attestation 1\0"
NONCE_BYTES = EXPORTER_BYTES = 32
LARGEST_TREE = 1024
_NO_EXPORTER = bytes(EXPORTER_BYTES)


def leaf(binding: int, nonce: bytes, exporter: bytes = _NO_EXPORTER) -> bytes:
    """A caller's leaf; the lengths are the caller's duty."""
    return sha256(bytes((0, binding)) + nonce + exporter).digest()


def tree_head(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf and its audit path lead to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size <= LARGEST_TREE:
        refuse("binding", f"a leaf of a tree of at most {LARGEST_TREE}", f"leaf {index} of {size}")
    node, last, head = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            refuse("binding", "an audit path of the tree's height", f"{len(path)} nodes for a tree of {size}")
        if node & 1 or node == last:
            head = sha256(b"\1" + sibling + head).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            head = sha256(b"\1" + head + sibling).digest()
        node, last = node >> 1, last >> 1
    if last:
        refuse("binding", "an audit path of the tree's height", f"{len(path)} nodes for a tree of {size}")
    return head


def report_data(public_key: bytes, claims: bytes, head: bytes) -> bytes:
    """The 64 bytes that the hardware signs."""
    return sha512(LABEL + sha384(public_key).digest() + sha384(claims).digest() + head).digest()
