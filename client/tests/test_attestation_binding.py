"""What evidence is bound to, against the definitions written out."""

from __future__ import annotations

from hashlib import sha256, sha384, sha512

import pytest
from software_device import tree

from bastionlab._attestation import _binding
from bastionlab.errors import AttestationError

NONCE, EXPORTER = b"n" * 32, b"e" * 32


def test_the_leaf() -> None:
    assert _binding.leaf(1, NONCE) == sha256(b"\0\1" + NONCE + bytes(32)).digest()
    assert _binding.leaf(2, NONCE, EXPORTER) == sha256(b"\0\2" + NONCE + EXPORTER).digest()


def test_the_report_data() -> None:
    key, claims, head = b"a key", b"claims", b"h" * 32
    parts = b"bastionlab attestation 1\0" + sha384(key).digest() + sha384(claims).digest() + head
    assert _binding.report_data(key, claims, head) == sha512(parts).digest()
    assert len(parts) == 25 + 48 + 48 + 32


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 129, 1023, 1024])
def test_a_path_leads_to_the_tree_head(size: int) -> None:
    leaves = [sha256(b"%d" % index).digest() for index in range(size)]
    indexes = range(size) if size < 70 else (0, 1, size // 2, size - 2, size - 1)
    for index in indexes:
        head, path = tree(leaves, index)
        assert _binding.tree_head(leaves[index], index, size, path) == head
        for wrong in ([*path, bytes(32)], path[:-1]) if path else ([bytes(32)],):
            with pytest.raises(AttestationError):
                _binding.tree_head(leaves[index], index, size, wrong)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (5, 4), (0, 1025), (1024, 1025), (-1, 4)])
def test_a_place_that_there_is_not(index: int, size: int) -> None:
    with pytest.raises(AttestationError) as refusal:
        _binding.tree_head(NONCE, index, size, [])
    assert refusal.value.check == "binding"
