"""Makes vectors/receipts/vectors.json: receipts and books, good and bad, with the check that each fails. Deterministic.

    PYTHONPATH=src python tests/receipt_vectors.py > ../vectors/receipts/vectors.json

Every verifier, in whatever language, is tested against that file. `file` is what a receipt file holds; or a list: one of these
a line; or a text: the file as it is.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipt_writer import charge_of, digest, public_hex, seal, write_body

from bastionlab.v1 import training_pb2

# The seeds of the first two examples of RFC 8032, 7.1.
KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))

DATASET = "5b" * 16
RUN = "c4" * 16
LARGEST = 2**63 - 1
AFTER: dict[str, Any] = dict(limit=6_000_000_000, delta=10**15, spent=0, spent_delta=0)
BASE: dict[str, Any] = dict(
    v=1, at=1_790_000_000_000, account=DATASET, seq=2, prev="ab" * 32,
    boot="0d" * 16, level="file", development=False, release="1.0.0",
    dataset=DATASET, owner="0a" * 32, after=AFTER,
)  # fmt: skip
OPENING = dict(limit=6_000_000_000, delta=10**15, orders=[2, 4, 8, 16], declared=4459, blob="b1" * 32, rows="e7" * 32)
PRICE: dict[str, Any] = dict(
    run=RUN, scientist="5c" * 32, epsilon=2_000_000_000, run_delta=166_666_666_666_666,
    renyi=[5_000_000_000, 10**10, 2 * 10**10, 4 * 10**10],
    after=AFTER | dict(spent=2_000_000_000, spent_delta=166_666_666_666_666),
)  # fmt: skip
PLAIN: dict[str, Any] = dict(run_delta=None, epsilon=None, renyi=None, infinite=True)

Vector = dict[str, Any]


def members(kind: str, **changed: Any) -> dict[str, Any]:
    of_kind: dict[str, dict[str, Any]] = {
        "open": dict(seq=1, prev=None, **OPENING),
        "join": dict(OPENING, limit=5_000_000_000, test_of="7a" * 16, accounts=["7e" * 16], renyi=[1, 2, 3, 4]),
        "limit": dict(limit=3_000_000_000),
        "reserve": PRICE,
        "data": dict(run=RUN, scientist="5c" * 32),
        "release": dict(run=RUN, scientist="5c" * 32),
        "settle": dict(run=RUN, scientist="5c" * 32, outcome="completed"),
        "freeze": dict(
            reason="a receipt was presented that the ledger does not hold", presented="f0" * 32, after=AFTER | dict(frozen=True)
        ),
    }
    found = BASE | dict(type=kind) | of_kind[kind] | changed
    if kind == "reserve" and "charge" not in changed:
        found["charge"] = charge_of(found)
    return found


def receipt(kind: str, key: Ed25519PrivateKey = KEY, **changed: Any) -> dict[str, Any]:
    return seal(key, write_body(members(kind, **changed)))


def charged(**changed: Any) -> dict[str, Any]:
    """A reserve whose charge says something else."""
    return receipt("reserve", charge=charge_of(members("reserve"), **changed))


def good_ones() -> dict[str, Any]:
    most = AFTER | dict(spent=LARGEST, spent_delta=LARGEST)
    steps = [training_pb2.ChargedSteps(sample_rate=1, noise_multiplier=1e-3, count=LARGEST)]
    good = {
        f"a receipt of type {kind}": receipt(kind)
        for kind in ("open", "join", "limit", "reserve", "data", "release", "settle", "freeze")
    }
    return good | {
        "an account without a limit": receipt("open", limit=None, orders=None, after=AFTER | dict(limit=None)),
        "a dataset whose records' digests are not known": receipt("open", rows=None),
        "a dataset that joins one account": receipt("join", accounts=None, renyi=None),
        "a limit for one scientist": receipt("limit", scientist="5c" * 32),
        "a run without noise": receipt("reserve", **PLAIN, after=AFTER | dict(limit=None, infinite=True)),
        "a run that pays no delta": receipt("reserve", run_delta=None, after=AFTER | dict(spent=2_000_000_000)),
        "a run that draws on no filter": receipt("reserve", renyi=None),
        "the largest amounts": receipt("reserve", epsilon=LARGEST, run_delta=LARGEST, renyi=[LARGEST], after=most),
        "steps at their bounds": charged(steps=steps),
        "more is spent than the limit": receipt("reserve", after=AFTER | dict(limit=1, spent=9_000_000_000, spent_delta=10**15)),
        "a run that drew less than was reserved": receipt("settle", outcome="cancelled", renyi=[0, 1, 2, 3]),
        "a freeze without a receipt": receipt("freeze", presented=None),
        "at the beginning of time": receipt("data", at=0),
        "at the end of the year 9999": receipt("data", at=253402300799999),
        "in development mode": receipt("data", development=True),
        "members of the file in another order": dict(reversed(list(receipt("data").items()))),
        "a file over several lines": json.dumps(receipt("data"), indent=2) + "\n",
        "a file whose strings are escaped": json.dumps(receipt("data")).replace("bastionlab_receipt", "bastionlab\\u005freceipt"),
    }  # fmt: skip


def bad_bodies() -> dict[str, Any]:
    """Signed as they are, so that nothing but the form is wrong."""
    body = write_body(members("reserve"))
    data = write_body(members("data"))
    parsed = json.loads(body)
    moved = {name: parsed[name] for name in ["type", *(name for name in parsed if name != "type")]}
    compact: Any = dict(separators=(",", ":"))
    texts: dict[str, Any] = {
        "members out of order": json.dumps(moved, **compact),
        "members of after out of order": data.replace('"delta":1000000000000000,"spent":0', '"spent":0,"delta":1000000000000000'),
        "a member that is not documented": data[:-1] + ',"note":"x"}',
        "a member of after that is not documented": data[:-2] + ',"note":"x"}}',
        "a lease, which no server writes yet": write_body(members("data", lease="x")),
        "a member twice": data.replace('"seq":2', '"seq":2,"seq":2'),
        "a member in capitals": data.replace('"seq":2', '"SEQ":2'),
        "a blank": data.replace('"seq":2', '"seq": 2'),
        "a newline at the end": data + "\n",
        "a needless escape": data.replace('"level":"file"', '"level":"fil\\u0065"'),
        "an escaped slash": data.replace('"release":"1.0.0"', '"release":"1\\/0"'),
        "a quotation mark in a text": write_body(members("freeze", reason='it was "put back"')),
        "an ampersand in a text": write_body(members("freeze", reason="put back & frozen")),
        "a tabulator in a text": write_body(members("freeze", reason="put\tback")),
        "letters that are not ASCII": data.replace('"level":"file"', '"level":"fïle"'),
        "letters that are not ASCII, escaped": data.replace('"level":"file"', '"level":"f\\u00efle"'),
        "half of a pair of surrogates, escaped": data.replace('"level":"file"', '"level":"\\ud800"'),
        "an empty text": data.replace('"level":"file"', '"level":""'),
        "a fraction": data.replace('"spent":0', '"spent":0.0'),
        "a number with an exponent": data.replace('"seq":2', '"seq":2e0'),
        "a number beyond 63 bits": data.replace('"spent":0', f'"spent":{LARGEST + 1}'),
        "a number of 5000 digits": data.replace('"spent":0', f'"spent":{"9" * 5000}'),
        "a negative amount": data.replace('"spent":0', '"spent":-1'),
        "minus nought": data.replace('"spent":0', '"spent":-0'),
        "a number as a text": data.replace('"seq":2', '"seq":"2"'),
        "a truth value as a number": data.replace('"development":false', '"development":0'),
        "nothing as a value": data.replace('"development":false', '"development":null'),
        "another form": data.replace('"v":1', '"v":2'),
        "a form that is true": data.replace('"v":1', '"v":true'),
        "a type that there is not": data.replace('"type":"data"', '"type":"refund"'),
        "a list as the type": data.replace('"type":"data"', '"type":["data"]'),
        "a list as the body": f"[{data}]",
        "a body that is no JSON": "{",
        "an empty body": "",
        "a body nested too deeply": "[" * 20_000,
        "number 0": data.replace('"seq":2', '"seq":0'),
        "number 1 with one before it": write_body(members("data", seq=1)),
        "number 2 without one before it": write_body(members("data", prev=None)),
        "a digest in capitals": write_body(members("data", prev="AB" * 32)),
        "a digest that is too short": write_body(members("data", owner="0a" * 31)),
        "a time after the year 9999": write_body(members("data", at=253402300800000)),
        "no owner": write_body(members("data", owner=None)),
        "no after": write_body(members("data", after=None)),
        "after is a list": write_body(members("data", after=[])),
        "no spent": data.replace('"spent":0,', ""),
        "a limit of 0": data.replace('"limit":6000000000', '"limit":0'),
        "frozen is false": data[:-2] + ',"frozen":false}}',
        "an amount of 0 that should be left out": write_body(members("reserve", run_delta=0)),
        "an empty list that should be left out": write_body(members("settle", renyi=[])),
        "orders that hold 0": write_body(members("open", orders=[0, 2])),
        "a Renyi divergence below 0": write_body(members("settle", renyi=[-1])),
        "a price with a type that has none": write_body(members("data", epsilon=1)),
        "an outcome with a type that has none": write_body(members("data", outcome="failed")),
        "other accounts with an opening": write_body(members("open", accounts=["7e" * 16])),
        "a lower limit that is no limit": write_body(members("limit", limit=None)),
        "an opening without its records": write_body(members("open", blob=None)),
        "an opening without its slots": write_body(members("open", declared=None)),
        "a price of nobody": write_body(members("reserve", scientist=None)),
        "a price of no run": write_body(members("reserve", run=None)),
        "a price without its charge": write_body(members("reserve", charge=None)),
        "a price that is neither finite nor infinite": write_body(members("reserve", epsilon=None)),
        "a price that is both finite and infinite": write_body(members("reserve", infinite=True)),
        "a charge that is not base64": write_body(members("reserve", charge="!!!!")),
        "a charge in base64 without its padding": write_body(members("reserve", charge="CAE")),
        "a charge in base64 with bits that say nothing": write_body(members("reserve", charge="CB==")),
        "an end without its outcome": write_body(members("settle", outcome=None)),
        "an outcome that there is not": write_body(members("settle", outcome="lost")),
        "a freeze without a reason": write_body(members("freeze", reason=None)),
    }  # fmt: skip
    return {f"body: {name}": seal(KEY, text) for name, text in texts.items()}


# The members that do not stand with all types, each with the types it is named with, those where it is never left out, and a value.
KINDS = ("open", "join", "limit", "reserve", "data", "release", "settle", "freeze")
OF_TYPES: dict[str, tuple[str, str, Any]] = {
    "scientist": ("limit reserve data release settle", "reserve", "5c" * 32),
    "limit": ("open join limit", "limit", 3),
    "delta": ("open join", "", 3),
    "orders": ("open join", "", [2]),
    "declared": ("open join", "open join", 3),
    "blob": ("open join", "open join", "b1" * 32),
    "rows": ("open join", "", "e7" * 32),
    "test_of": ("open join", "", "7a" * 16),
    "accounts": ("join", "", ["7e" * 16]),
    "run": ("reserve data release settle", "reserve data release settle", RUN),
    "epsilon": ("reserve", "", 3),
    "run_delta": ("reserve", "", 3),
    "infinite": ("reserve", "", True),
    "renyi": ("join reserve settle", "", [3]),
    "charge": ("reserve", "reserve", "CAE="),
    "outcome": ("settle", "settle", "failed"),
    "reason": ("freeze", "freeze", "put back"),
    "presented": ("freeze", "", "f0" * 32),
}
ALWAYS = ("v", "type", "at", "account", "seq", "boot", "level", "development", "release", "dataset", "owner", "after")


def members_by_type() -> dict[str, Any]:
    """Every member left out where it may not be, and put where it may not stand."""
    texts = {}
    for at, name in enumerate(ALWAYS):
        kind = KINDS[at % len(KINDS)]
        texts[f"{kind} without {name}"] = write_body(members(kind) | {name: None})
    for name in ("delta", "spent", "spent_delta"):
        texts[f"after without {name}"] = write_body(members("data", after=AFTER | {name: None}))
    for name, (allowed, needed, value) in OF_TYPES.items():
        for kind in KINDS:
            if kind in needed.split():
                texts[f"{kind} without {name}"] = write_body(members(kind) | {name: None})
            if kind not in allowed.split():
                texts[f"{kind} with {name}"] = write_body(members(kind) | {name: value})
    return {f"body: {name}": seal(KEY, text) for name, text in texts.items()}


def wrong_values() -> dict[str, Any]:
    """Every member with a value of another kind."""
    value: Any
    texts = {}
    for name in (*ALWAYS, "prev", *OF_TYPES):
        kind = OF_TYPES[name][0].split()[0] if name in OF_TYPES else "data"
        good = members(kind)
        if name in OF_TYPES:
            good[name] = OF_TYPES[name][2]
        number = isinstance(good[name], int) and not isinstance(good[name], bool)
        wrong = ("7", -1, 1.5) if number else (7,)
        for value in wrong:
            texts[f"{name} is {json.dumps(value)}"] = write_body(good | {name: value})
    for name, value in AFTER.items():
        texts[f"{name} of after is a text"] = write_body(members("data", after=AFTER | {name: str(value)}))
        texts[f"{name} of after is below 0"] = write_body(members("data", after=AFTER | {name: -1}))
    for name in ("infinite", "frozen"):
        for value in (False, 1):
            texts[f"{name} of after is {json.dumps(value)}"] = write_body(members("data", after=AFTER | {name: value}))
    for value in (False, 1):
        texts[f"infinite is {json.dumps(value)}"] = write_body(members("reserve") | dict(epsilon=None, infinite=value))
    for name, kind in (("accounts", "join"), ("orders", "open"), ("renyi", "settle")):
        texts[f"{name} holds something else"] = write_body(members(kind) | {name: [None]})
    return {f"body: {name}": seal(KEY, text) for name, text in texts.items()}


def least_and_most() -> dict[str, Any]:
    """Of each type, with as little and as much as there may be."""
    found = {}
    for kind in KINDS:
        may = {name: value for name, (allowed, _, value) in OF_TYPES.items() if kind in allowed.split()}
        must = {name for name, (_, needed, _) in OF_TYPES.items() if kind in needed.split()}
        base = members(kind)
        if kind == "reserve":
            must |= {"epsilon"}
            may = {name: base.get(name) for name in may}
        least = base | {name: None for name in may if name not in must}
        if kind == "reserve":
            least["charge"] = charge_of(least)
        found[f"as little as there may be: {kind}"] = seal(KEY, write_body(least))
        after = AFTER | dict(limit=None, spent=LARGEST, spent_delta=LARGEST, infinite=True, frozen=True)
        found[f"a frozen, infinite account: {kind}"] = receipt(kind, after=after)
        found[f"number 1 may be any: {kind}"] = receipt(kind, seq=1, prev=None)
        found[f"as much as there may be: {kind}"] = seal(KEY, write_body(may | {n: v for n, v in base.items() if v is not None}))
    return found


def bad_files() -> dict[str, Any]:
    good = receipt("data")
    line = json.dumps(good)
    signature = good["signature"]
    spare = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="  # the same bytes, in another way of writing them
    return {
        "no members": {},
        "a member too many": good | {"note": "x"},
        "no key": {name: value for name, value in good.items() if name != "key"},
        "another form": good | {"bastionlab_receipt": 2},
        "a form that is a fraction": line.replace('"bastionlab_receipt": 1', '"bastionlab_receipt": 1.0'),
        "a form that is true": good | {"bastionlab_receipt": True},
        "a member in capitals": {name.replace("body", "Body"): value for name, value in good.items()},
        "a member twice": line[:-1] + f', "key": "{good["key"]}"}}',
        "a body that is no text": good | {"body": json.loads(good["body"])},
        "a body that is null": good | {"body": None},
        "a signature that is too short": good | {"signature": base64.b64encode(bytes(63)).decode()},
        "a signature that is no base64": good | {"signature": "-" * 88},
        "a signature with a newline": good | {"signature": signature[:40] + "\n" + signature[40:]},
        "a signature with bits that say nothing": good | {"signature": spare},
        "a key in capitals": good | {"key": good["key"].upper()},
        "a key that is too short": good | {"key": good["key"][2:]},
        "a text": '"receipt"',
        "a list": f"[{line}]",
        "two objects on a line": line + line,
        "something after the object": line + " x",
        "an empty file": "",
        "blank lines only": "\n \n",
        "a byte order mark": "\ufeff" + line,
        "a number that is none": line.replace('"bastionlab_receipt": 1', '"bastionlab_receipt": NaN'),
    }


def changed_byte(value: dict[str, Any], name: str, old: str, new: str) -> dict[str, Any]:
    assert old in value[name]
    return value | {name: value[name].replace(old, new, 1)}


def bad_signatures() -> dict[str, Any]:
    good = receipt("reserve")
    flipped = bytearray(base64.b64decode(good["signature"]))
    flipped[0] ^= 1
    raised = bytearray(base64.b64decode(good["signature"]))
    # S + L verifies as S does where nobody looks whether S is reduced.
    order = 2**252 + 27742317777372353535851937790883648493
    raised[32:] = (int.from_bytes(raised[32:], "little") + order).to_bytes(32, "little")
    bare = base64.b64encode(KEY.sign(good["body"].encode())).decode()
    return {
        "a byte of the body is changed": changed_byte(good, "body", '"epsilon":2', '"epsilon":1'),
        "another account": changed_byte(good, "body", DATASET, "6" + DATASET[1:]),
        "a byte of the signature is changed": good | {"signature": base64.b64encode(flipped).decode()},
        "a signature whose number is not reduced": good | {"signature": base64.b64encode(raised).decode()},
        "a byte of the key is changed": changed_byte(good, "key", good["key"][:2], "00"),
        "another's key": good | {"key": public_hex(OTHER)},
        "another's signature": good | {"signature": receipt("reserve", OTHER)["signature"]},
        "the signature of another receipt": good | {"signature": receipt("data")["signature"]},
        "signed without the words before the body": good | {"signature": bare},
    }


def bad_prices() -> dict[str, Any]:
    step: Any = dict(sample_rate=0.25, noise_multiplier=1.5, count=100)
    steps: dict[str, list[Any]] = {
        "no steps": [],
        "steps that are none": [step | dict(count=0)],
        "fewer steps than none": [step | dict(count=-1)],
        "a sample rate of 0": [step | dict(sample_rate=0)],
        "a sample rate above 1": [step | dict(sample_rate=1.0000001)],
        "a sample rate that is no number": [step | dict(sample_rate=float("nan"))],
        "no noise": [step | dict(noise_multiplier=0)],
        "noise below 0": [step | dict(noise_multiplier=-1.5)],
        "infinite noise": [step | dict(noise_multiplier=float("inf"))],
        "noise that is no number": [step | dict(noise_multiplier=float("nan"))],
        "a second kind of steps without noise": [step, step | dict(noise_multiplier=0)],
    }
    changed: dict[str, Any] = {
        name: dict(steps=[training_pb2.ChargedSteps(**each) for each in some]) for name, some in steps.items()
    }
    renyi = [training_pb2.RenyiCost(order=2 + i, pico=pico) for i, pico in enumerate(PRICE["renyi"])]
    changed |= {
        "another dataset": dict(dataset_id="66" * 16),
        "another eps": dict(epsilon_nano=1_999_999_999),
        "another delta": dict(delta_atto=166_666_666_666_667),
        "not private": dict(private=False),
        "another Renyi divergence": dict(renyi=[*renyi[:-1], training_pb2.RenyiCost(order=5, pico=1)]),
        "Renyi divergences in another order": dict(renyi=renyi[::-1]),
        "one Renyi divergence less": dict(renyi=renyi[:-1]),
        "no Renyi divergence": dict(renyi=[]),
    }
    bad = {name: charged(**each) for name, each in changed.items()}
    plain = members("reserve", **PLAIN, after=AFTER | dict(infinite=True))
    bad["private, and the body says infinite"] = seal(KEY, write_body(plain | dict(charge=charge_of(plain, private=True))))
    bad["bytes that are no charge"] = receipt("reserve", charge="////")
    return bad


def bad_sums() -> dict[str, Any]:
    return {
        "less is spent than the run costs": receipt("reserve", after=PRICE["after"] | dict(spent=1_999_999_999)),
        "less delta is spent than the run costs": receipt("reserve", after=PRICE["after"] | dict(spent_delta=166_666_666_666_665)),
        "a run without noise and a finite account": receipt("reserve", **PLAIN),
        "a freeze and an account that is not frozen": receipt("freeze", after=AFTER),
    }


def chain(key: Ed25519PrivateKey = KEY, **changed: Any) -> list[dict[str, Any]]:
    """An account's first five receipts."""
    paid = PRICE["after"]
    afters = dict(open=AFTER, reserve=paid, data=paid, settle=paid, limit=paid | dict(limit=3_000_000_000))
    found: list[dict[str, Any]] = []
    for seq, (kind, after) in enumerate(afters.items(), 1):
        before = digest(found[-1]["body"]) if found else None
        found.append(receipt(kind, key, **(dict(seq=seq, prev=before, after=after) | changed)))
    return found


def two(before: dict[str, Any], kind: str, after: dict[str, Any], first: str = "data", **changed: Any) -> list[dict[str, Any]]:
    """A receipt that leaves an account so, and the next one; what is changed is in the next, but for a price that is given back."""
    price = changed if first == "reserve" else {}
    one = receipt(first, after=before, **price)
    return [one, receipt(kind, seq=3, prev=digest(one["body"]), after=after, **({} if price else changed))]


def sums_that_follow() -> dict[str, Any]:
    paid, low = PRICE["after"], AFTER | dict(limit=3_000_000_000)
    most = AFTER | dict(spent=LARGEST, spent_delta=LARGEST)
    some = AFTER | dict(spent=7, spent_delta=8)
    endless, free = AFTER | dict(infinite=True), AFTER | dict(limit=None)
    return {
        "a price is added": two(some, "reserve", some | dict(spent=2_000_000_007, spent_delta=166_666_666_666_674)),
        "a price is added to an infinite account": two(endless, "reserve", paid | dict(infinite=True)),
        "a price without noise": two(free, "reserve", free | dict(infinite=True), **PLAIN),
        "sums stop at the largest integer": two(
            AFTER | dict(spent=LARGEST - 1, spent_delta=LARGEST - 166_666_666_666_666), "reserve", most
        ),
        "sums stay at the largest integer": two(most, "reserve", most),
        "a price is given back": two(paid, "release", AFTER, "reserve", run=RUN),
        "a price that is not in the book is given back": two(paid, "release", some),
        "a price is given back and sums were at their end": two(most, "release", some, "reserve", run=RUN),
        "a price without noise is given back": two(free | dict(infinite=True), "release", free, "reserve", **PLAIN),
        "a price without noise is given back, and there is another": two(
            free | dict(infinite=True), "release", free | dict(infinite=True), "reserve", **PLAIN
        ),
        "an unknown price is given back, perhaps without noise": two(endless, "release", AFTER),
        "data leave the account": two(some, "data", some),
        "an end leaves the account": two(some, "settle", some, renyi=[1], outcome="cancelled"),
        "a frozen account stays frozen": two(AFTER | dict(frozen=True), "settle", AFTER | dict(frozen=True)),
        "a limit falls": two(some, "limit", some | dict(limit=3_000_000_000)),
        "a first limit": two(free, "limit", low),
        "a first limit that is the largest": two(free, "limit", AFTER | dict(limit=LARGEST), limit=LARGEST),
        "a limit for one scientist leaves the account": two(some, "limit", some, scientist="5c" * 32),
        "a freeze": two(some, "freeze", some | dict(frozen=True)),
        "a joining with what others spent": two(
            some, "join", dict(limit=5, delta=1, spent=8, spent_delta=9, infinite=True, frozen=True)
        ),
        "a joining that changes nothing": two(some, "join", some),
        "a joining of an account without a limit": two(free, "join", free, limit=None),
    }


def sums_that_do_not_follow() -> dict[str, Any]:
    paid = PRICE["after"]
    some = AFTER | dict(spent=7, spent_delta=8)
    frozen, free = AFTER | dict(frozen=True), AFTER | dict(limit=None)
    bad = {
        "an opening with another before it": two(AFTER, "open", AFTER),
        "less is added than the price": two(some, "reserve", paid | dict(spent_delta=166_666_666_666_674)),
        "more is added than the price": two(AFTER, "reserve", paid | dict(spent=2_000_000_001)),
        "less delta is added than the price": two(some, "reserve", paid | dict(spent=2_000_000_007)),
        "sums do not stop before the largest integer": two(paid, "reserve", paid | dict(spent=LARGEST, spent_delta=LARGEST)),
        "a price with noise makes the account infinite": two(AFTER, "reserve", paid | dict(infinite=True)),
        "a price is added to a frozen account and thaws it": two(frozen, "reserve", paid),
        "less is given back than the price": two(paid, "release", AFTER | dict(spent=1), "reserve", run=RUN),
        "more is given back than the price": two(paid | dict(spent=2_000_000_001), "release", AFTER, "reserve", run=RUN),
        "less delta is given back than the price": two(paid, "release", AFTER | dict(spent_delta=1), "reserve", run=RUN),
        "sums rise as a price is given back": two(some, "release", some | dict(spent=8)),
        "the sum of delta rises as a price is given back": two(some, "release", some | dict(spent_delta=9)),
        "a finite price is given back and the account becomes finite": two(
            paid | dict(infinite=True), "release", AFTER, "reserve", run=RUN
        ),
        "a price is given back and the account becomes infinite": two(paid, "release", AFTER | dict(infinite=True)),
        "a price is given back and the account becomes frozen": two(paid, "release", frozen),
        "a limit that is not the one named": two(AFTER, "limit", AFTER | dict(limit=2_999_999_999)),
        "a limit that rises": two(AFTER | dict(limit=2), "limit", AFTER | dict(limit=3_000_000_000)),
        "a limit that stays": two(AFTER, "limit", AFTER, limit=6_000_000_000),
        "a limit that is lost": two(AFTER, "limit", free),
        "a limit for one scientist and for all": two(AFTER, "limit", AFTER | dict(limit=3_000_000_000), scientist="5c" * 32),
        "a joining that raises the limit": two(AFTER, "join", AFTER | dict(limit=6_000_000_001)),
        "a joining that takes the limit away": two(AFTER, "join", free),
        "a joining that raises delta": two(AFTER, "join", AFTER | dict(delta=10**15 + 1)),
        "a joining after which less is spent": two(some, "join", some | dict(spent=6)),
        "a joining after which less delta is spent": two(some, "join", some | dict(spent_delta=7)),
        "a joining after which the account is finite": two(AFTER | dict(infinite=True), "join", AFTER),
        "a joining that thaws": two(frozen, "join", AFTER),
        "the one before comes later in the file": two(AFTER, "data", some)[::-1],
    }
    other = dict(
        limit=dict(limit=7), limits=dict(limit=None), delta=dict(delta=7), spent=dict(spent=6), spent_delta=dict(spent_delta=9),
        infinite=dict(infinite=True),
    )  # fmt: skip
    for kind in ("data", "settle", "freeze"):
        for name, change in (other | (dict(frozen=dict(frozen=True)) if kind != "freeze" else {})).items():
            bad[f"a {kind} that changes {name}"] = two(some, kind, some | (dict(frozen=True) if kind == "freeze" else {}) | change)
        bad[f"a {kind} after which the account is finite"] = two(
            some | dict(infinite=True), kind, some | (dict(frozen=True) if kind == "freeze" else {})
        )
    for kind in ("data", "settle", "limit"):
        bad[f"a {kind} that thaws"] = two(frozen, kind, AFTER | (dict(limit=3_000_000_000) if kind == "limit" else {}))
    for kind, lowered in (("limit", dict(limit=3_000_000_000)), ("reserve", paid), ("release", some)):
        names = ("delta", "infinite") if kind == "limit" else ("limit", "delta")
        for name in names:
            bad[f"a {kind} that changes {name}"] = two(some if kind == "release" else AFTER, kind, AFTER | lowered | other[name])
    for name in ("spent", "spent_delta"):
        bad[f"a limit that changes {name}"] = two(some, "limit", some | dict(limit=3_000_000_000) | other[name])
        bad[f"a limit for one scientist that changes {name}"] = two(some, "limit", some | other[name], scientist="5c" * 32)
    return bad


def books() -> list[tuple[str, Any, str]]:
    one, other = chain(), chain(account="7e" * 16)
    forked = receipt("reserve", seq=2, prev=digest(one[0]["body"]), at=1)
    strays = [receipt("data", seq=3, prev="99" * 32)]
    stray = [receipt("data", seq=4, prev="99" * 32)]
    lines = [json.dumps(each, separators=(",", ":")) for each in one]
    return [
        ("book: a chain", one, ""),
        ("book: a gap", [one[0], *one[2:]], ""),
        ("book: the last ones only", one[3:], ""),
        ("book: another order of lines", one[::-1], ""),
        ("book: the same receipt twice", [*one, one[2]], ""),
        ("book: two accounts, mixed", [each for pair in zip(one, other, strict=True) for each in pair], ""),
        ("book: no newline at its end", "\n".join(lines), ""),
        ("book: lines that end as on Windows, and a blank one", "\r\n".join([*lines[:2], "", *lines[2:]]), ""),
        ("book: one that names another before it", [*one[:2], *strays], "chain"),
        ("book: the one before comes later in the file", [*strays, *one[:2]], "chain"),
        ("book: a fork", [*one, forked], "fork"),
        ("book: a fork of the first", [one[0], receipt("open", at=1)], "fork"),
        ("book: a fork, and one that names another before it", [*strays, *one[:2], forked], "fork"),
        ("book: two keys", [*one, *chain(OTHER, account="7e" * 16)], "key"),
        ("book: a torn line", "\n".join([*lines[:4], lines[4][:-10]]), "form"),
        ("book: a receipt that was changed", [*one[:3], changed_byte(one[3], "body", "completed", "cancelled")], "signature"),
        ("book: a fork after a defect", [one[0], receipt("open", at=1), charged(epsilon_nano=1)], "charge"),
        ("book: the sums of one", [*one, *bad_sums().values()][:6], "sums"),
        ("book: a fork before sums", [*two(AFTER, "data", PRICE["after"]), receipt("data", at=1)], "fork"),
        ("book: one that names another before it, before sums", [*two(AFTER, "data", PRICE["after"]), *stray], "chain"),
        *((f"book: sums: {name}", book, "") for name, book in sums_that_follow().items()),
        *((f"book: sums: {name}", book, "sums") for name, book in sums_that_do_not_follow().items()),
    ]  # fmt: skip


def vectors() -> list[Vector]:
    public = public_hex(KEY)
    both = receipt("reserve", after=AFTER, charge=charge_of(members("reserve"), epsilon_nano=1))
    made: list[tuple[str, Any, str | None, str]] = [
        (name, file, None, "") for name, file in (good_ones() | least_and_most()).items()
    ]
    forms = bad_bodies() | members_by_type() | wrong_values()
    tables = {"form": forms | {f"file: {n}": f for n, f in bad_files().items()}, "signature": bad_signatures()}
    tables |= {"charge": {f"charge: {n}": f for n, f in bad_prices().items()}, "sums": bad_sums()}
    made += [(name, file, None, check) for check, table in tables.items() for name, file in table.items()]
    made += [(name, file, None, check) for name, file, check in books()]
    made += [
        ("the key that was expected", receipt("data"), public, ""),
        ("another key than was expected", receipt("data"), public_hex(OTHER), "key"),
        ("book: the key that was expected", chain(), public, ""),
        ("book: another key than was expected", chain(), public_hex(OTHER), "key"),
        (
            "two defects: form before signature",
            bad_signatures()["another's key"] | {"bastionlab_receipt": 2},
            public_hex(OTHER),
            "form",
        ),
        ("two defects: signature before key", bad_signatures()["another's signature"], public_hex(OTHER), "signature"),
        ("two defects: key before charge", charged(epsilon_nano=1), public_hex(OTHER), "key"),
        ("two defects: charge before sums", both, public, "charge"),
    ]
    return [{"name": name, "file": file, "key": key, "ok": not check, "check": check} for name, file, key, check in made]


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(each) for each in vectors()) + "\n]\n"


if __name__ == "__main__":
    sys.stdout.write(text())
