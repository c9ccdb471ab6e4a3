"""Makes vectors/receipts/vectors.json: receipts and books, good and bad, with the check that each fails. Deterministic.

    PYTHONPATH=src python tests/receipt_vectors.py > ../vectors/receipts/vectors.json

Every verifier, in whatever language, is tested against that file. `file` is what a receipt file holds; or a list: one of these
a line; or a text: the file as it is. Where there is `fill`, the text has @@ once, in whose place so many of these letters stand.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipt_examples import AFTER, DATASET, KEY, LARGEST, OTHER, PLAIN, PRICE, RUN, charged, members, receipt
from receipt_steps import sums_that_do_not_follow, sums_that_follow, two
from receipt_writer import charge_of, digest, public_hex, seal, write_body

from bastionlab.v1 import training_pb2

Vector = dict[str, Any]


def good_ones() -> dict[str, Any]:
    most = AFTER | dict(spent=LARGEST, spent_delta=LARGEST)
    steps = [training_pb2.ChargedSteps(sample_rate=1, noise_multiplier=1e-3, count=LARGEST)]
    good = {
        f"a receipt of type {kind}": receipt(kind)
        for kind in ("open", "join", "limit", "reserve", "data", "release", "settle", "freeze", "close")
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
        "a run on a GPU": charged(device="cuda"),
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
KINDS = ("open", "join", "limit", "reserve", "data", "release", "settle", "freeze", "close")
OF_TYPES: dict[str, tuple[str, str, Any]] = {
    "scientist": ("limit reserve data release settle", "reserve", "5c" * 32),
    "limit": ("open join limit", "limit", 3),
    "delta": ("open join", "", 3),
    "orders": ("open join close", "", [2]),
    "declared": ("open join", "open join", 3),
    "blob": ("open join", "open join", "b1" * 32),
    "rows": ("open join", "", "e7" * 32),
    "test_of": ("open join", "", "7a" * 16),
    "accounts": ("join", "", ["7e" * 16]),
    "run": ("reserve data release settle", "reserve data release settle", RUN),
    "epsilon": ("reserve", "", 3),
    "run_delta": ("reserve", "", 3),
    "infinite": ("reserve", "", True),
    "renyi": ("join reserve settle close", "", [3]),
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
        "a run on a device named cpu": dict(device="cpu"),
        "a run on a device in capitals": dict(device="CUDA"),
        "a run on one device of several": dict(device="cuda:1"),
        "a run on a device of two lines": dict(device="cuda\nsigned    by nobody"),
    }
    bad = {name: charged(**each) for name, each in changed.items()}
    plain = members("reserve", **PLAIN, after=AFTER | dict(infinite=True))
    bad["private, and the body says infinite"] = seal(KEY, write_body(plain | dict(charge=charge_of(plain, private=True))))
    fine = base64.b64decode(charge_of(members("reserve")))
    unknown = training_pb2.Charge.FromString(fine)
    unknown.steps[0].MergeFromString(b"\xf8\x06\x01")  # field 111
    padded = fine.replace(b"\x18\x01\x20", b"\x18\x81\x00\x20")  # that it is private, in two bytes
    assert padded != fine
    odd = {
        "a field that is not documented": fine + b"\xf8\x06\x01",
        "a field of steps that is not documented": unknown.SerializeToString(deterministic=True),
        "a group that is not documented": fine + b"\xfb\x06\xfc\x06",
        "a field twice": fine + fine[: 2 + len(DATASET)],
        "a number longer than it need be": padded,
        "a field at its default": fine + b"\xa1\x01" + bytes(8),  # a loss_bound of 0
        "a device at its default": fine + b"\xb2\x01\x00",
        "two devices": fine + b"\xb2\x01\x04cuda" * 2,
        "fields in another order": fine[2 + len(DATASET) :] + fine[: 2 + len(DATASET)],
    }
    bad |= {name: receipt("reserve", charge=base64.b64encode(encoded).decode()) for name, encoded in odd.items()}
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
        ("book: blank lines of spaces, tabs and carriage returns", " \t\r\n".join([*lines, "\r", "\t\t", " ", ""]), ""),
        *(
            (f"book: a line of nothing but {name}", f"{lines[0]}\n{blank}\n{lines[1]}", "form")
            for name, blank in dict(VT="\v", FF="\f", NEL="\x85", NBSP="\xa0", LS="\u2028", NUL="\0", BOM="\ufeff").items()
        ),
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


def filled() -> list[Vector]:
    """Sizes at their bounds: of a body, and of a receipt in a file."""
    mebibyte, body = 1 << 20, 1 << 18
    data = json.dumps(receipt("data"), separators=(",", ":"))

    def long_body(size: int) -> tuple[str, str, int]:
        letters = size - len(write_body(members("data", release="")))
        long = receipt("data", release="x" * letters)
        assert len(long["body"]) == size
        return json.dumps(long).replace("x" * letters, "@@"), "x", letters

    def padded(size: int) -> tuple[str, str, int]:
        return data[:-1] + "@@}", " ", size - len(data)

    def around(before: str, after: str, blank: str) -> tuple[str, str, int]:
        return before + "@@" + after, blank, mebibyte

    def beside(line: tuple[str, str, int]) -> tuple[str, str, int]:
        return f"{line[0]}\n{json.dumps(receipt('settle', seq=9))}\n", *line[1:]

    found: dict[str, tuple[tuple[str, str, int], str]] = {
        "a body of 256 KiB": (long_body(body), ""),
        "a body of more than 256 KiB": (long_body(body + 1), "form"),
        "book: a body of 256 KiB": (beside(long_body(body)), ""),
        "book: a body of more than 256 KiB": (beside(long_body(body + 1)), "form"),
        "a file of 1 MiB": (padded(mebibyte), ""),
        "a file of more than 1 MiB": (padded(mebibyte + 1), "form"),
        "book: a line of 1 MiB": (beside(padded(mebibyte)), ""),
        "book: a line of more than 1 MiB": (beside(padded(mebibyte + 1)), "form"),
        "a MiB of spaces before": (around("", data, " "), ""),
        "a MiB of spaces behind": (around(data, "", " "), ""),
        "a MiB of tabs behind": (around(data, "\n", "\t"), ""),
        "a MiB of newlines behind": (around(data, "", "\n"), ""),
        "a MiB of newlines behind several lines": (around(json.dumps(receipt("data"), indent=1), "", "\n"), ""),
        "a MiB of newlines within": (around(data[:-1], "}", "\n"), "form"),
        "book: a MiB of spaces behind a line": (beside(around(data, "", " ")), ""),
    }
    return [
        {"name": name, "file": file, "fill": {"with": letter, "times": times}, "key": None, "ok": not check, "check": check}
        for name, ((file, letter, times), check) in found.items()
    ]


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
    return [{"name": name, "file": file, "key": key, "ok": not check, "check": check} for name, file, key, check in made] + filled()


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(each) for each in vectors()) + "\n]\n"


if __name__ == "__main__":
    sys.stdout.write(text())
