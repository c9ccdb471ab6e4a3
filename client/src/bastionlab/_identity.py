"""Keys that name people: who uploads, trains and owns is whoever holds the private key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bastionlab import errors
from bastionlab._notices import notice

_DEFAULT_NAME = "default"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class PublicKey:
    """What may be told to anyone: owners and operators grant to it, and it names its user."""

    der: bytes

    @property
    def pem(self) -> str:
        key = serialization.load_der_public_key(self.der)
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def user(self) -> str:
        """How the server names this user everywhere: the hex SHA-256 of the key."""
        return hashlib.sha256(self.der).hexdigest()

    def __str__(self) -> str:
        return self.pem


class Identity:
    """A private key with the name it is kept under.

    A plain name lives in the directory of this user's identities; a name with a path separator is a path.

    >>> created = Identity.create("hospital", password="correct horse")
    >>> Identity.load("hospital", password="correct horse").public_key == created.public_key
    True
    """

    def __init__(self, name: str, key: _PrivateKey) -> None:
        self.name = name
        self._key = key

    @classmethod
    def create(cls, name: str, password: str | bytes | None = None) -> Identity:
        """Makes a new Ed25519 key and keeps it in a file that only this user can read, encrypted where a password is given.

        The public key lies beside it (``.pub``). An identity that exists is never overwritten.
        """
        path = _path_of(name)
        identity = cls(name, ed25519.Ed25519PrivateKey.generate())
        try:
            _write_new(path, identity._pem(_password_bytes(password)))
        except FileExistsError:
            raise errors.InvalidArgument(
                f"the identity {name!r} exists already ({path})", next="load it with Identity.load, or choose another name"
            ) from None
        _write_public(path, identity)
        return identity

    @classmethod
    def load(cls, name: str, password: str | bytes | None = None) -> Identity:
        """Reads an identity: a PKCS8 PEM file with an Ed25519 or P-256 key."""
        path = _path_of(name)
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            raise errors.NotFound(
                f"there is no identity {name!r} ({path})", next=f"make it with Identity.create({name!r})"
            ) from None
        key = _parse(pem, _password_bytes(password), name)
        if password is None:
            _warn_if_readable_by_others(path)
        return cls(name, key)

    @classmethod
    def default(cls) -> Identity:
        """This user's key, made on first use."""
        path = _path_of(_DEFAULT_NAME)
        if not path.exists():
            fresh = cls(_DEFAULT_NAME, ed25519.Ed25519PrivateKey.generate())
            # Two processes may come here at once: one key wins, and both use it.
            with contextlib.suppress(FileExistsError):
                _write_new(path, fresh._pem(None))
                _write_public(path, fresh)
        return cls.load(_DEFAULT_NAME)

    @property
    def public_key(self) -> PublicKey:
        public = self._key.public_key()
        return PublicKey(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, message: bytes) -> bytes:
        """Ed25519 pure, or ECDSA with SHA-256 in ASN.1, by the kind of the key."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))

    # SECURITY: the private key never appears in a traceback or a notebook.
    def __repr__(self) -> str:
        return f"Identity({self.name!r}, user {self.public_key.user[:12]})"

    def _pem(self, password: bytes | None) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def identity_directory() -> Path:
    """$BASTIONLAB_HOME, else bastionlab in the user's configuration directory."""
    home = os.environ.get("BASTIONLAB_HOME")
    if home:
        return Path(home) / "identities"
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "bastionlab" / "identities"


def _path_of(name: str) -> Path:
    if not isinstance(name, str):
        raise errors.InvalidArgument(f"an identity's name is a str, not a {type(name).__name__}")
    if os.sep in name or (os.altsep and os.altsep in name):
        return Path(name).expanduser()
    if not _PLAIN_NAME.fullmatch(name):
        raise errors.InvalidArgument(
            f"{name!r} is no name for an identity", next="use letters, digits, dots, hyphens and underscores, or a path"
        )
    return identity_directory() / f"{name}.pem"


def _password_bytes(password: str | bytes | None) -> bytes | None:
    if password is None:
        return None
    if not password:
        raise errors.InvalidArgument("the password is empty", next="give one, or None for no encryption")
    return password.encode() if isinstance(password, str) else password


def _parse(pem: bytes, password: bytes | None, name: str) -> _PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password)
    except TypeError:
        wrong = "is protected by a password" if password is None else "has no password"
        advice = "give the password" if password is None else "load it without one"
        raise errors.InvalidArgument(f"the identity {name!r} {wrong}", next=advice) from None
    except ValueError:
        raise errors.InvalidArgument(
            f"the identity {name!r} cannot be read", next="is it the right password, and a PKCS8 PEM file?"
        ) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise errors.InvalidArgument(
        f"the identity {name!r} is neither an Ed25519 nor a P-256 key", next="make one with Identity.create"
    )


def _write_new(path: Path, content: bytes) -> None:
    """Writes a private file whole, or not at all; FileExistsError where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # SECURITY: the mode is set when the file is made, so at no moment can another user read it.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        # Link, not rename: rename would silently replace a key that another process has just made.
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def _write_public(path: Path, identity: Identity) -> None:
    path.with_suffix(".pub").write_text(identity.public_key.pem)


def _warn_if_readable_by_others(path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        notice(f"others on this machine can read the private key {path}: chmod 600 it", errors.PrivacyWarning)
