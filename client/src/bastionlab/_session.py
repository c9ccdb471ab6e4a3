"""A signed-in conversation with one server: every call goes through here.

Invariants: each call carries protocol, version and token, and goes over a link whose server proved what it is; a token that ran
out is replaced without the caller noticing, and so is a link that was lost: the server attests again, and one that does not pass is
told nothing. A call that may have arrived is made again only where that changes nothing. No call goes out between a sign-in and the
answer to what this client remembers of the server's ledger, whose key is the attested one. What is raised is of bastionlab.errors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import grpc

from bastionlab import errors
from bastionlab._acceptance import Acceptance
from bastionlab._address import Address, reach
from bastionlab._attestation import Attested
from bastionlab._closings import collect_closings
from bastionlab._feed import Feed
from bastionlab._identity import Identity
from bastionlab._ledger_memory import LedgerMemory
from bastionlab._link import Link, open_link
from bastionlab._methods import AUDIT, DATASETS, LEDGER, MODELS, TRAINING, Method
from bastionlab._notices import notice
from bastionlab._refusals import LinkLost, OtherLedger, error_of, has_detail, is_signed_out
from bastionlab._server_info import Said, worth_saying
from bastionlab._sign_in import CALL_TIMEOUT_SECONDS, SignedIn, asking, sign_in

Answer = TypeVar("Answer")


class Session:
    """Use Session.open; close it when done."""

    datasets = DATASETS
    models = MODELS
    training = TRAINING
    ledger = LEDGER
    audit = AUDIT

    def __init__(self, address: Address, identity: Identity, acceptance: Acceptance) -> None:
        self.address = address
        self.memory = LedgerMemory(str(address))
        self._identity = identity
        self._acceptance = acceptance
        self._closed = False
        self._lock = threading.Lock()
        self._signed_in: SignedIn | None = None
        self._told: set[str] = set()

    @classmethod
    def open(cls, host: str, port: int, identity: Identity, acceptance: Acceptance) -> Session:
        session = cls(reach(host, port), identity, acceptance)
        try:
            session._ready()
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        self._closed = True
        if self._signed_in is not None:
            self._signed_in.link.close()

    @property
    def attested(self) -> Attested:
        """What the server proved when it was last connected to."""
        return self._last.link.attested

    @property
    def user(self) -> str:
        return self._last.user

    @property
    def roles(self) -> tuple[str, ...]:
        return self._last.roles

    def call(self, method: Method, request: Any, timeout: float | None = CALL_TIMEOUT_SECONDS, *, concerns: str = "") -> Any:
        """One request, one answer.

        :param concerns: the dataset whose account has to be the one of before, where the request has no dataset_id
        """

        def once(on: SignedIn) -> Any:
            # After the sign-in, also after a second one: that is when it shows what the server has forgotten.
            self.memory.require(request, concerns)
            return on.bind(method)(request, timeout=timeout, metadata=on.metadata)

        return self._do(method, once)

    def watch(self, method: Method, request: Any) -> Iterator[Any]:
        """One request, a stream of answers. Leaving the iteration leaves the stream."""

        def begin(on: SignedIn) -> tuple[SignedIn, Any, Any]:
            stream = on.bind(method)(request, metadata=on.metadata)
            return on, stream, next(stream, None)

        # The first answer decides whether token and link were good; a stream that has begun is not begun again.
        on, stream, first = self._do(method, begin)
        try:
            while first is not None:
                yield first
                first = next(stream, None)
        except grpc.RpcError as error:
            raise self._failure(on.link, error) from None
        finally:
            stream.cancel()

    def upload(self, method: Method, parts: Callable[[], Iterable[Any]], ledger: bytes | None = None) -> Any:
        """Sends parts, one answer. parts is called anew where the upload has to begin again.

        :param ledger: the key of the only ledger that it may go to; OtherLedger where the server has another one by now
        """

        def once(on: SignedIn) -> Any:
            if ledger is not None and on.link.attested.claims.ledger_key != ledger:
                raise OtherLedger(self.address)
            return _send(on.bind(method), parts(), on.metadata)

        return self._do(method, once)

    @property
    def _last(self) -> SignedIn:
        assert self._signed_in is not None, "a session is made by Session.open"
        return self._signed_in

    def _do(self, method: Method, do: Callable[[SignedIn], Answer]) -> Answer:
        on = self._ready()
        relinked = signed_in_again = False
        while True:
            try:
                return do(on)
            except errors.BastionLabError:
                raise
            except grpc.RpcError as error:
                if is_signed_out(error) and not signed_in_again:
                    signed_in_again = True
                    on = self._ready(stale=on)
                    continue
                failure = self._failure(on.link, error)
                if not isinstance(failure, LinkLost) or relinked or not method.is_repeatable:
                    raise failure from None
            except ValueError:
                # gRPC's word for a closed channel: nothing was sent.
                if relinked or not on.link.is_lost:
                    raise
            relinked = True
            on = self._ready()

    def _failure(self, link: Link, error: grpc.RpcError) -> errors.BastionLabError:
        """What a failed call raises. A link on which the server is not heard any more is given up."""
        if has_detail(error) or (error.code() != grpc.StatusCode.UNAVAILABLE and not link.is_lost):
            return error_of(error, str(self.address))
        link.lose()
        return LinkLost.of(error, str(self.address))

    def _ready(self, stale: SignedIn | None = None) -> SignedIn:
        """A link with a good token. One thread makes them, the others get what it got.

        :param stale: whose token the server does not know any more
        """
        said: list[Said] = []
        with self._lock:
            if self._closed:
                raise errors.ServerUnavailable(f"the connection to {self.address} was closed", next="open a new Connection")
            now = self._signed_in
            if now is None or now is stale or not now.is_good:
                now, said = self._renewed(now)
                self._signed_in = now
                if self._closed:  # by another thread, which did not see this link
                    now.link.close()
        for each in said:
            if each.again or each.text not in self._told:
                self._told.add(each.text)
                notice(each.text, each.kind)
        return now

    def _renewed(self, before: SignedIn | None) -> tuple[SignedIn, list[Said]]:
        if before is not None and not before.link.is_lost:
            try:
                return self._introduced(before.link)
            except LinkLost:
                pass  # a link that may connect again did not
        if before is not None:
            before.link.close()
        # SECURITY: whatever was known of the server before, it proves itself anew, before it gets another word.
        link = open_link(self.address, self._acceptance)
        try:
            return self._introduced(link)
        except BaseException:
            link.close()
            raise

    def _introduced(self, link: Link) -> tuple[SignedIn, list[Said]]:
        """Signs in and shows what is remembered; with what the user should be told of."""
        try:
            signed_in = sign_in(link, self._identity, str(self.address))
            # SECURITY: before the token is anybody's. A server that will not say what its ledger holds is not spoken to further.
            ledger = link.attested.claims.ledger_key
            warnings = self.memory.meet(ledger, asking(signed_in, LEDGER.PresentReceipts))
            warnings += collect_closings(signed_in.user, ledger.hex(), asking(signed_in, LEDGER.ListClosings))
        except grpc.RpcError as error:
            raise self._failure(link, error) from None
        said = [*worth_saying(str(self.address), link.attested, self._acceptance.simulated)]
        return signed_in, said + [Said(text, errors.PrivacyWarning, again=True) for text in warnings]


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
    except grpc.FutureCancelledError:
        raise answer from None  # an RpcError, where gRPC tells of a closed channel in another way
    except BaseException:
        answer.cancel()
        feed.abandon()
        raise
