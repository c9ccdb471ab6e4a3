"""TDX: quotes of a platform in software under a root of its own, and two genuine quotes."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime, timedelta
from typing import Any

import genuine_evidence as genuine
import pytest
from software_device import claims
from software_quote import MR_TD, NOW, RTMRS, SEPT_VE_DISABLE, SoftwarePlatform, tdx_policy

from bastionlab._attestation import Attested, Channel, Policy, _binding, _tdx, verify
from bastionlab.errors import AttestationError
from bastionlab.v1 import attestation_pb2

if importlib.util.find_spec("dcap_qvl") is None:
    pytest.skip("the extra bastionlab[tdx] is not installed", allow_module_level=True)
import dcap_qvl  # type: ignore[import-untyped]

PLATFORM = SoftwarePlatform()
NONCE = b"n" * 32
CHANNEL = Channel(b"public key", attestation_pb2.BINDING_EXPORTER, b"e" * 32)
LEAF = _binding.leaf(CHANNEL.binding, NONCE, CHANNEL.exporter)
REPORT_DATA = _binding.report_data(CHANNEL.public_key, claims(), LEAF)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intel's root is the software platform's."""

    def verify(quote: bytes, collateral: Any, now: int) -> Any:
        return dcap_qvl.verify_with_root_ca(quote, collateral, PLATFORM.root_der, now)

    monkeypatch.setattr(dcap_qvl, "verify", verify)


def judged(
    quote: bytes, collateral: bytes | None = None, policy: dict[str, Any] | None = None, now: datetime = NOW, nonce: bytes = NONCE
) -> Attested:
    evidence = attestation_pb2.Evidence(
        format="tdx",
        report=quote,
        endorsements=[PLATFORM.collateral() if collateral is None else collateral],
        claims=claims(),
        binding=attestation_pb2.BINDING_EXPORTER,
        tree_size=1,
    )
    return verify(evidence, nonce, CHANNEL, Policy.parse(tdx_policy() if policy is None else policy), now)


def check_of(*arguments: Any, **named: Any) -> str:
    with pytest.raises(AttestationError) as refusal:
        judged(*arguments, **named)
    return refusal.value.check


@pytest.mark.parametrize("version", [4, 5])
def test_a_quote_is_accepted(version: int) -> None:
    found = judged(PLATFORM.quote(REPORT_DATA, version=version))
    assert (found.platform, found.simulated, found.measurement, found.chip_id) == ("tdx", False, MR_TD.hex(), "")
    assert found.claims == attestation_pb2.Claims.FromString(claims())


@pytest.mark.parametrize(
    ("check", "shape"),
    [
        ("measurement", {"mr_td": bytes(48)}),
        ("measurement", {"mr_seam": bytes(48)}),
        ("measurement", {"rtmrs": [RTMRS[0], bytes(48), *RTMRS[2:]]}),
        ("debug", {"attributes": SEPT_VE_DISABLE | 1}),
        ("debug", {"attributes": SEPT_VE_DISABLE | 1 << 7}),
        ("migrate", {"attributes": SEPT_VE_DISABLE | 1 << 29}),
        ("migrate", {"version": 5, "service_td": b"s" * 48}),
        ("policy_bits", {"attributes": SEPT_VE_DISABLE | 1 << 26}),
        ("signature", {"attributes": 0}),  # the library demands SEPT_VE_DISABLE
        ("format", {"version": 3}),
        ("format", {"patch": {4: b"\0"}}),  # an SGX quote
        ("format", {"version": 5, "patch": {48: b"\1"}}),  # an SGX report in it
        ("format", {"version": 5, "patch": {50: b"\x48\x02"}}),  # a TD report 1.5 of the other's size
        ("signature", {"patch": {12: b"\0"}}),  # of another vendor's quoting enclave
    ],
)
def test_what_the_guest_is(check: str, shape: dict[str, Any]) -> None:
    assert check_of(PLATFORM.quote(REPORT_DATA, **shape)) == check


def test_an_rtmr_that_the_policy_does_not_name_may_be_anything() -> None:
    assert judged(PLATFORM.quote(REPORT_DATA, rtmrs=[b"x" * 48, *RTMRS[1:3], b"y" * 48])).platform == "tdx"


def test_the_debug_attribute_is_checked_whatever_the_library_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lenient:
        status, advisory_ids = "UpToDate", ()

    monkeypatch.setattr(dcap_qvl, "verify", lambda *_: Lenient)
    assert judged(PLATFORM.quote(REPORT_DATA)).platform == "tdx"
    assert check_of(PLATFORM.quote(REPORT_DATA, attributes=SEPT_VE_DISABLE | 1)) == "debug"
    assert check_of(PLATFORM.quote(REPORT_DATA, version=5, service_td=b"s" * 48)) == "migrate"


def test_another_platforms_quote_and_anothers_collateral() -> None:
    other = SoftwarePlatform()
    assert check_of(other.quote(REPORT_DATA)) == "signature"
    assert check_of(PLATFORM.quote(REPORT_DATA), other.collateral()) == "signature"
    assert check_of(other.quote(REPORT_DATA), other.collateral()) == "signature"


def test_intels_own_root_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert check_of(PLATFORM.quote(REPORT_DATA)) == "signature"


@pytest.mark.parametrize("collateral", [b"", b"{}", b"[]", b"\xff", b"null"])
def test_collateral_that_cannot_be_read(collateral: bytes) -> None:
    assert check_of(PLATFORM.quote(REPORT_DATA), collateral) == "collateral"


@pytest.mark.parametrize("endorsements", [[], [b"{}", b"{}"]])
def test_collateral_that_is_not_there(endorsements: list[bytes]) -> None:
    with pytest.raises(AttestationError) as refusal:
        _tdx.check(PLATFORM.quote(REPORT_DATA), endorsements, Policy.parse(tdx_policy()), NOW)
    assert refusal.value.check == "collateral"


def test_stale_collateral() -> None:
    quote = PLATFORM.quote(REPORT_DATA)
    assert check_of(quote, PLATFORM.collateral(expires=NOW - timedelta(days=1))) == "collateral"
    assert check_of(quote, now=NOW + timedelta(days=60)) == "collateral"
    assert check_of(quote, now=NOW - timedelta(days=60)) in ("collateral", "signature")


@pytest.mark.parametrize("revoked", ["pck", "ca"])
def test_a_revoked_certificate(revoked: str) -> None:
    assert check_of(PLATFORM.quote(REPORT_DATA), PLATFORM.collateral(revoked=revoked)) == "signature"


def test_the_status_of_the_platform() -> None:
    quote, old = PLATFORM.quote(REPORT_DATA), PLATFORM.collateral(status="OutOfDate", advisories=["INTEL-SA-00001"])
    assert check_of(quote, PLATFORM.collateral(status="Revoked")) == "signature"
    assert check_of(quote, old) == "tdx_status"
    assert check_of(quote, old, tdx_policy(statuses=["OutOfDate"])) == "tdx_status"
    assert check_of(quote, old, tdx_policy(advisories=["INTEL-SA-00001"])) == "tdx_status"
    assert check_of(quote, old, tdx_policy(statuses=["OutOfDate"], advisories=["INTEL-SA-00002"])) == "tdx_status"
    assert judged(quote, old, tdx_policy(statuses=["OutOfDate"], advisories=["INTEL-SA-00001"])).platform == "tdx"


def test_the_binding_comes_last() -> None:
    assert check_of(PLATFORM.quote(bytes(64))) == "binding"
    assert check_of(PLATFORM.quote(REPORT_DATA), nonce=b"o" * 32) == "binding"
    assert check_of(PLATFORM.quote(bytes(64), attributes=SEPT_VE_DISABLE | 1)) == "debug"


def test_a_policy_without_tdx() -> None:
    policy = tdx_policy() | {"platforms": ["simulated"]}
    assert check_of(PLATFORM.quote(REPORT_DATA), policy=policy) == "policy"
    with pytest.raises(AttestationError) as refusal:
        _tdx.check(b"", [], Policy.parse({name: policy[name] for name in policy if name != "tdx"}), NOW)
    assert refusal.value.check == "policy"


def test_every_part_of_the_quote_counts() -> None:
    """What is before the certificates in it; those are the library's to read.

    Two bytes do not count: they number the kind of what follows, which the library reads as the one kind that there is.
    """
    quote, collateral = PLATFORM.quote(REPORT_DATA), PLATFORM.collateral()
    kind = 48 + 584 + 4 + 64 + 64
    for place in {*range(0, kind + 6 + 384 + 64 + 2 + 32, 3)} - {kind, kind + 1}:
        changed = bytearray(quote)
        changed[place] ^= 0x80
        assert check_of(bytes(changed), collateral)
    for length in (1, 47, 53, 54, 300, 48 + 520, 48 + 583):
        assert check_of(quote[:length], collateral) == "format"
    for length in range(48 + 584, len(quote), 97):
        assert check_of(quote[:length], collateral) == "signature"


def test_a_panic_of_the_library_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """What pyo3 makes of one is no Exception either."""

    def panics(*_: Any) -> None:
        raise Panic("index out of bounds")

    def is_interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dcap_qvl, "verify", panics)
    assert check_of(PLATFORM.quote(REPORT_DATA)) == "signature"
    monkeypatch.setattr(dcap_qvl, "verify", is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        judged(PLATFORM.quote(REPORT_DATA))


@pytest.fixture
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)


@pytest.mark.usefixtures("_without_the_extra")
def test_without_the_extra() -> None:
    with pytest.raises(AttestationError, match=r"pip install 'bastionlab\[tdx\]'") as refusal:
        judged(PLATFORM.quote(REPORT_DATA))
    assert refusal.value.check == "tdx_status"


def genuine_policy(quote: bytes) -> dict[str, Any]:
    guest = _tdx.Guest.read(quote)
    rtmrs = {str(index): [value.hex()] for index, value in enumerate(guest.rtmrs)}
    return tdx_policy(mr_td=[guest.mr_td.hex()], mr_seam=[guest.mr_seam.hex()], rtmrs=rtmrs)


@genuine.needed
@pytest.mark.parametrize("name", ["tdx_quote_4.dat", "tdx_quote_5.dat"])
def test_a_genuine_quote_is_read_as_the_library_reads_it(name: str) -> None:
    quote = genuine.read(name)
    mine, theirs = _tdx.Guest.read(quote), dcap_qvl.parse_quote(quote).report
    assert (mine.mr_td, mine.mr_seam, mine.report_data) == (theirs.mr_td, theirs.mr_seam, theirs.report_data)
    assert mine.rtmrs == (theirs.rt_mr0, theirs.rt_mr1, theirs.rt_mr2, theirs.rt_mr3)
    assert mine.attributes == int.from_bytes(theirs.td_attributes, "little")
    assert mine.service_td == getattr(theirs, "mr_service_td", b"")


@genuine.needed
def test_a_genuine_quote_of_a_debug_guest() -> None:
    quote = genuine.read("tdx_quote_4.dat")
    assert check_of(quote, b"", genuine_policy(quote)) == "debug"


@genuine.needed
def test_a_genuine_quote_without_collateral() -> None:
    """Measurements are as the policy says and debug mode is off, but a service TD has a part in the guest.

    Without it - which is no genuine quote any more - it would be the collateral that is missing.
    """
    quote = genuine.read("tdx_quote_5.dat")
    policy = Policy.parse(genuine_policy(quote))
    assert check_of(quote, b"", genuine_policy(quote)) == "migrate"
    at = quote.index(_tdx.Guest.read(quote).service_td)
    alone = quote[:at] + bytes(48) + quote[at + 48 :]
    with pytest.raises(AttestationError) as refusal:
        _tdx.check(alone, [], policy, NOW)
    assert refusal.value.check == "collateral"
    assert check_of(alone, None, genuine_policy(quote)) == "signature"
