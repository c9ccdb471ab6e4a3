"""The reader of certificates: one reading only."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from software_device import SoftwareDevice

from bastionlab._attestation import _der
from bastionlab._attestation._der import Certificate, DerError

CHIP, MIDDLE, ROOT = SoftwareDevice().endorsements()


def sequence(*parts: bytes, tag: int = 0x30) -> bytes:
    content = b"".join(parts)
    length = len(content)
    return bytes([tag]) + (bytes([length]) if length < 0x80 else b"\x82" + length.to_bytes(2, "big")) + content


def fields(encoded: bytes) -> list[bytes]:
    """Of what is signed."""
    body = next(iter(_der.items(_der.one(encoded, _der.SEQUENCE))))
    return [item.encoded for item in _der.items(body.content)]


def rebuilt(
    *, at: int | None = None, new: bytes = b"", algorithm: bytes | None = None, signature: bytes = b"\0s", tag: int = 0x03
) -> bytes:
    parts = fields(CHIP)
    outer = parts[2] if algorithm is None else algorithm
    if at is not None:
        parts[at] = new
    return sequence(sequence(*parts), outer, sequence(signature, tag=tag))


@pytest.mark.parametrize("encoded", [CHIP, MIDDLE, ROOT], ids=["chip", "middle", "root"])
def test_it_reads_what_the_library_reads(encoded: bytes) -> None:
    mine, theirs = Certificate.read(encoded), x509.load_der_x509_certificate(encoded)
    assert mine.signed == theirs.tbs_certificate_bytes
    assert mine.signature == theirs.signature
    assert mine.signature_algorithm == theirs.signature_algorithm_oid.dotted_string
    assert (mine.subject, mine.issuer) == (theirs.subject.public_bytes(), theirs.issuer.public_bytes())
    assert (mine.not_before, mine.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert mine.public_key == theirs.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    held = {each.oid.dotted_string: each.value.public_bytes() for each in theirs.extensions}
    assert mine.extensions == held
    assert mine.common_name() == theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def test_rebuilding_changes_nothing_by_itself() -> None:
    assert Certificate.read(rebuilt()).subject == Certificate.read(CHIP).subject


EXTENSION = sequence(bytes.fromhex("0603551d0e"), bytes.fromhex("040100"))
BAD_CERTIFICATES = {
    "nothing": b"",
    "one byte": b"\x30",
    "not a sequence": sequence(CHIP[4:], tag=0x31),
    "a byte behind it": CHIP + b"\0",
    "cut short": CHIP[:-1],
    "too large": rebuilt(
        at=7, new=sequence(sequence(sequence(bytes.fromhex("0603551d0e"), sequence(bytes(9000), tag=4))), tag=0xA3)
    ),
    "a signature of half bytes": rebuilt(signature=b"\4s"),
    "a signature that is no bit string": rebuilt(tag=0x04),
    "no signature": rebuilt(signature=b""),
    "two signature algorithms": rebuilt(algorithm=sequence(bytes.fromhex("06092a864886f70d01010b"))),
    "an algorithm without an identifier": rebuilt(at=2, new=sequence(), algorithm=sequence()),
    "an algorithm that is a number": rebuilt(at=2, new=sequence(b"\x02\x01\x05"), algorithm=sequence(b"\x02\x01\x05")),
    "version 1": rebuilt(at=0, new=bytes.fromhex("a003020100")),
    "no version": rebuilt(at=0, new=b""),
    "no extensions": rebuilt(at=7, new=b""),
    "a unique id": rebuilt(at=7, new=b"\x81\x01\x00" + fields(CHIP)[7]),
    "one time": rebuilt(at=4, new=sequence(b"\x17\x0d250101000000Z")),
    "an extension twice": rebuilt(at=7, new=sequence(sequence(EXTENSION, EXTENSION), tag=0xA3)),
    "an extension without a value": rebuilt(at=7, new=sequence(sequence(sequence(EXTENSION[2:7])), tag=0xA3)),
    "an extension whose value is a number": rebuilt(
        at=7, new=sequence(sequence(sequence(EXTENSION[2:7], b"\x02\x01\x00")), tag=0xA3)
    ),
    "two lists of extensions": rebuilt(at=7, new=sequence(sequence(EXTENSION), sequence(EXTENSION), tag=0xA3)),
}


@pytest.mark.parametrize("encoded", BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
def test_what_is_no_certificate(encoded: bytes) -> None:
    with pytest.raises(DerError):
        Certificate.read(encoded)


def times(begin: bytes, end: bytes = b"\x18\x0f20500101000000Z") -> Certificate:
    return Certificate.read(rebuilt(at=4, new=sequence(begin, end)))


def test_times() -> None:
    assert times(b"\x17\x0d491231235959Z").not_before == datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert times(b"\x17\x0d500101000000Z").not_before == datetime(1950, 1, 1, tzinfo=timezone.utc)
    assert times(b"\x18\x0f20500101000000Z").not_after == datetime(2050, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "time",
    [
        b"\x17\x0b2501010000Z",
        b"\x17\x0d251301000000Z",
        b"\x17\x0d250101000000+",
        b"\x17\x11250101000000+0100",
        b"\x18\x0d250101000000Z",
        b"\x04\x0f20250101000000Z",
        b"\x17\x0d\xb2\xb50101000000Z",
        b"\x18\x1120500101000000.1Z",
    ],
)
def test_what_is_no_time(time: bytes) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        times(time)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [("020100", 0), ("02017f", 127), ("02020080", 128), ("020200db", 219), ("020500ffffffff", (1 << 32) - 1)],
)
def test_small_integers(encoded: str, value: int) -> None:
    assert _der.small_integer(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(
    "encoded",
    ["", "0200", "020180", "0202007f", "02020000", "0206010000000000", "040100", "02010000", "0281017f", "02820001ff", "0280"],
)
def test_what_is_no_small_integer(encoded: str) -> None:
    with pytest.raises(DerError):
        _der.small_integer(bytes.fromhex(encoded))


@pytest.mark.parametrize("encoded", ["1f0100", "30847fffffff", "308100", "30820001ff", "3080", "30", "308201"])
def test_heads_that_have_another_reading(encoded: str) -> None:
    with pytest.raises(DerError):
        list(_der.items(bytes.fromhex(encoded)))


def test_identifiers() -> None:
    assert _der.identifier(bytes.fromhex("2a864886f70d01010a")) == "1.2.840.113549.1.1.10"
    assert _der.identifier(bytes.fromhex("550403")) == "2.5.4.3"
    for bad in ("", "2a86", "2a8086", "2a8001", "80"):
        with pytest.raises(DerError):
            _der.identifier(bytes.fromhex(bad))


def test_a_subject_without_a_common_name() -> None:
    assert Certificate.read(rebuilt(at=5, new=sequence())).common_name() == ""
