"""Keys: made once, kept from others, never shown."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bastionlab import Identity, errors
from bastionlab._identity import identity_directory

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def test_create_then_load() -> None:
    created = Identity.create("alice")
    assert Identity.load("alice").public_key == created.public_key
    key = serialization.load_pem_private_key((identity_directory() / "alice.pem").read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    assert (identity_directory() / "alice.pub").read_text() == created.public_key.pem == str(created.public_key)


def test_the_user_is_the_digest_of_the_key() -> None:
    public = Identity.create("alice").public_key
    assert public.user == hashlib.sha256(public.der).hexdigest()


def test_files_are_for_this_user_only() -> None:
    old = os.umask(0)
    try:
        Identity.create("alice")
    finally:
        os.umask(old)
    directory = identity_directory()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "alice.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in directory.iterdir()) == ["alice.pem", "alice.pub"], "no draft is left behind"


def test_an_identity_is_never_overwritten() -> None:
    first = Identity.create("alice").public_key
    with pytest.raises(errors.InvalidArgument, match="exists already"):
        Identity.create("alice")
    assert Identity.load("alice").public_key == first


def test_a_file_system_without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("links are not supported")

    monkeypatch.setattr(os, "link", no_links)
    first = Identity.create("alice").public_key
    with pytest.raises(errors.InvalidArgument, match="exists already"):
        Identity.create("alice")
    assert Identity.load("alice").public_key == first


@pytest.mark.parametrize(
    ("made_with", "loaded_with", "words"),
    [
        ("secret", None, "is protected by a password"),
        ("secret", "wrong", "cannot be read"),
        (None, "secret", "has no password"),
    ],
)
def test_passwords(made_with: str | None, loaded_with: str | None, words: str) -> None:
    created = Identity.create("alice", password=made_with)
    assert Identity.load("alice", password=made_with).public_key == created.public_key
    with pytest.raises(errors.InvalidArgument, match=words):
        Identity.load("alice", password=loaded_with)


def test_an_empty_password_is_no_password() -> None:
    with pytest.raises(errors.InvalidArgument, match="empty"):
        Identity.create("alice", password="")


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "../x"[:2], "a" * 200])
def test_names(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="no name"):
        Identity.create(name)


def test_a_name_with_a_separator_is_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "keys" / "me.pem")
    assert Identity.create(path).public_key == Identity.load(path).public_key
    assert not identity_directory().exists()


def test_unknown() -> None:
    with pytest.raises(errors.NotFound, match=r"Identity\.create"):
        Identity.load("nobody")


def test_other_kinds_of_keys(tmp_path: Path) -> None:
    keys: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ]
    for key in keys:
        path = tmp_path / "key.pem"
        path.write_bytes(key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
        with pytest.raises(errors.InvalidArgument, match="neither"):
            Identity.load(str(path))
    path.write_text("rubbish")
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        Identity.load(str(path))


def test_a_key_that_others_can_read_is_warned_of() -> None:
    Identity.create("alice")
    (identity_directory() / "alice.pem").chmod(0o644)
    with pytest.warns(errors.PrivacyWarning, match="chmod 600"):
        Identity.load("alice")


def test_the_private_key_is_never_shown() -> None:
    identity = Identity.create("alice")
    private = (identity_directory() / "alice.pem").read_text().splitlines()[1]
    assert private not in repr(identity) + str(identity) + repr(vars(identity))


@pytest.mark.parametrize(
    ("home", "config", "expected"),
    [
        ("h", "c", "h/identities"),
        ("", "c", "c/bastionlab/identities"),
        ("", "", "user/.config/bastionlab/identities"),
    ],
)
def test_where_keys_are_kept(home: str, config: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BASTIONLAB_HOME", home), ("XDG_CONFIG_HOME", config)):
        monkeypatch.setenv(name, str(tmp_path / value) if value else "")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert identity_directory() == tmp_path / expected


def _default_user(_: int) -> str:
    return Identity.default().public_key.user


def test_processes_that_start_together_agree_on_one_key() -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        users = pool.map(_default_user, range(8), chunksize=1)
    assert len(set(users)) == 1
    assert len(list(identity_directory().glob("*.pem"))) == 1
