"""AMD's roots, as pins: the SHA-256 of a root's SubjectPublicKeyInfo in hex, by product.

SECURITY: nothing else decides that a chain is AMD's. A root's own certificate travels with the evidence and is taken only if its
key is pinned here for the product that the report names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# From https://kdsintf.amd.com/{vcek,vlek}/v1/<product>/cert_chain, the second certificate (ARK-<product>); the chains of VCEK and
# of VLEK end in the same one. Siena and Bergamo are Genoa to it.
AMD_ROOTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Milan": frozenset({"9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"}),
        "Genoa": frozenset({"429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"}),
        "Turin": frozenset({"4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"}),
    }
)
