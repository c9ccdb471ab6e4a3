"""A signed-in conversation with one server: every call goes through here.

Invariants: each call carries protocol, version and token; a token that ran out is replaced without the caller noticing; no call
goes out between a sign-in and the answer to what this client remembers of the server's ledger; what is raised is of
bastionlab.errors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import grpc

from bastionlab import errors
from bastionlab._address import Address, reach
from bastionlab._channel import Certificate, fetch_certificate, open_channel
from bastionlab._closings import collect_closings
from bastionlab._feed import Feed
from bastionlab._identity import Identity
from bastionlab._ledger_memory import LedgerMemory
from bastionlab._notices import notice
from bastionlab._refusals import error_of, is_signed_out
from bastionlab._version import PROTOCOL, __version__
from bastionlab.v1 import dataset_pb2_grpc, ledger_pb2_grpc, model_pb2_grpc, session_pb2, session_pb2_grpc, training_pb2_grpc

CALL_TIMEOUT_SECONDS = 120.0
# A token is replaced this long before it runs out, so that a call that starts now does not meet its end.
TOKEN_MARGIN_SECONDS = 60.0
_SIGN_IN_PREFIX = b"bastionlab.v1 sign-in\x00"

Answer = TypeVar("Answer")


class Session:
    """Use Session.open; close it when done."""

    def __init__(self, address: Address, certificate: Certificate, channel: grpc.Channel, identity: Identity) -> None:
        self.address = address
        self.datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
        self.models = model_pb2_grpc.ModelServiceStub(channel)
        self.training = training_pb2_grpc.TrainingServiceStub(channel)
        self.ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        self.memory = LedgerMemory(str(address))
        self._sessions = session_pb2_grpc.SessionServiceStub(channel)
        self._certificate = certificate
        self._channel = channel
        self._identity = identity
        self._closed = False
        # Of one thread, not of one call: whoever hears a warning may make a call.
        self._lock = threading.RLock()
        self._token = ""
        self._token_good_until = 0.0
        self.user = ""
        self.info = session_pb2.ServerInfo()

    @classmethod
    def open(cls, host: str, port: int, identity: Identity) -> Session:
        address = reach(host, port)
        certificate = fetch_certificate(address)
        session = cls(address, certificate, open_channel(address, certificate), identity)
        try:
            session._sign_in("")
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        self._closed = True
        self._channel.close()

    def call(
        self, method: Callable[..., Answer], request: Any, timeout: float | None = CALL_TIMEOUT_SECONDS, *, concerns: str = ""
    ) -> Answer:
        """One request, one answer.

        :param concerns: the dataset whose account has to be the one of before, where the request has no dataset_id
        """

        def once(metadata: list[tuple[str, str]]) -> Answer:
            # After the sign-in, also after a second one: that is when it shows what the server has forgotten.
            self.memory.require(request, concerns)
            return method(request, timeout=timeout, metadata=metadata)

        return self._signed_in(once)

    def watch(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """One request, a stream of answers. Leaving the iteration leaves the stream."""
        # The first answer decides whether the token was good; a stream that has begun is not begun again.
        stream, first = self._signed_in(lambda metadata: _begin(method(request, metadata=metadata)))
        try:
            while first is not None:
                yield first
                first = next(stream, None)
        except grpc.RpcError as error:
            raise error_of(error, str(self.address)) from None
        finally:
            stream.cancel()

    def upload(self, method: Any, parts: Callable[[], Iterable[Any]]) -> Any:
        """Sends parts, one answer. parts is called anew where the upload has to begin again."""
        return self._signed_in(lambda metadata: _send(method, parts(), metadata))

    def _signed_in(self, do: Callable[[list[tuple[str, str]]], Answer]) -> Answer:
        token = self._fresh_token()
        try:
            try:
                return do(self._metadata(token))
            except grpc.RpcError as error:
                if not is_signed_out(error):
                    raise
            # The server has forgotten the token: it restarted. Once more with a new one.
            return do(self._metadata(self._sign_in(token)))
        except grpc.RpcError as error:
            raise error_of(error, str(self.address)) from None

    def _fresh_token(self) -> str:
        if self._closed:
            raise errors.ServerUnavailable(f"the connection to {self.address} was closed", next="open a new Connection")
        if time.monotonic() < self._token_good_until:
            return self._token
        return self._sign_in(self._token)

    def _sign_in(self, stale: str) -> str:
        """Proves possession of the key; one thread does it, the others get what it got."""
        with self._lock:
            if self._token != stale:
                return self._token
            try:
                warnings = self._prove_key()
            except grpc.RpcError as error:
                raise error_of(error, str(self.address)) from None
            token = self._token
        for text in warnings:
            notice(text, errors.PrivacyWarning)
        return token

    def _prove_key(self) -> list[str]:
        """Sets the token; what the user should be warned of."""
        bare = self._metadata(None)
        hello = self._sessions.Hello(
            session_pb2.HelloRequest(client_version=__version__), metadata=bare, timeout=CALL_TIMEOUT_SECONDS
        )
        if hello.protocol != PROTOCOL:
            raise errors.VersionMismatch(
                f"the server at {self.address} (version {hello.server_version}) speaks protocol {hello.protocol}, "
                f"this client (version {__version__}) speaks {PROTOCOL}",
                next="install the client of the server's version",
            )
        # SECURITY: the signature binds the certificate this client sees, so a relay that shows another one cannot pass it on.
        message = _SIGN_IN_PREFIX + hello.challenge + self._certificate.sha256
        request = session_pb2.SignInRequest(
            public_key=self._identity.public_key.der, signature=self._identity.sign(message), challenge=hello.challenge
        )
        started = time.monotonic()
        answer = self._sessions.SignIn(request, metadata=bare, timeout=CALL_TIMEOUT_SECONDS)
        signed_in = self._metadata(answer.token)
        # SECURITY: before the token is anybody's. A server that will not say what its ledger holds is not spoken to any further.
        warnings = self.memory.meet(
            hello.info.ledger_key,
            lambda presented: self.ledger.PresentReceipts(presented, metadata=signed_in, timeout=CALL_TIMEOUT_SECONDS),
        )
        warnings += collect_closings(
            answer.user,
            hello.info.ledger_key.hex(),
            lambda asked: self.ledger.ListClosings(asked, metadata=signed_in, timeout=CALL_TIMEOUT_SECONDS),
        )
        self.info = hello.info
        self.user = answer.user
        self._token = answer.token
        # At least half of its life, or a server with very short tokens would be asked before every call.
        life = answer.expires_in_seconds
        self._token_good_until = started + max(life - TOKEN_MARGIN_SECONDS, life / 2)
        return warnings

    def _metadata(self, token: str | None) -> list[tuple[str, str]]:
        pairs = [("bastionlab-protocol", str(PROTOCOL)), ("bastionlab-client", __version__)]
        if token is not None:
            pairs.append(("authorization", f"Bearer {token}"))
        return pairs


def _begin(stream: Any) -> tuple[Any, Any]:
    return stream, next(stream, None)


def _send(method: Any, parts: Iterable[Any], metadata: list[tuple[str, str]]) -> Any:
    feed: Feed[Any] = Feed()
    answer = method.future(feed, metadata=metadata)
    answer.add_done_callback(lambda _: feed.abandon())
    try:
        for part in parts:
            if not feed.put(part):
                break  # the server has answered before the end: its answer says why
        feed.end()
        return answer.result()
    except BaseException:
        answer.cancel()
        feed.abandon()
        raise
