"""Mutants of the client's verifier: every refusal taken out, one at a time, and defences that are no refusal.

The refusals are found in the sources, so that a new one is taken out too. Those that another check stands behind are in DOUBLED,
with the reason.
"""

from __future__ import annotations

import ast
from pathlib import Path

from mutant import Client, Mutant, Replacement

FOLDER = "client/src/bastionlab/_attestation"
ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = Client(
    tuple(f"tests/test_attestation_{name}.py" for name in ("vectors", "policy", "der", "binding", "evidence", "tdx", "fuzz"))
)
# What ends a verification, or the reading of a certificate, a policy or a file.
ENDS = {"DerError", "Wrong", "ValueError"}

DOUBLED = {
    "a signature within the order of P-384": "the library refuses such numbers too; a claim of ours does not rest on that",
    "not a definite length": "such a length has needless bytes, or goes beyond what there is",
    'refuse("format", "a TDX quote", ': "what is too short to be unpacked raises, and whatever is raised is refused",
    'refuse("format", "claims that can be read"': "without claims the next line raises, and whatever is raised is refused",
}


def is_refusal(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(ast.Call(ast.Name("refuse"))):
            return True
        case ast.Raise(ast.Call(ast.Name(name))):
            return name in ENDS
    return False


def refusals(file: Path) -> list[Mutant]:
    text = file.read_text()
    lines = text.split("\n")
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt) and is_refusal(node)]
    mutants: dict[str, Mutant] = {}
    for node in sorted(found, key=lambda each: each.lineno):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        begin = first
        while text.count("\n".join(lines[begin:last])) > 1:
            begin -= 1
        gone = [*lines[begin:first], f"{' ' * node.col_offset}pass"]
        name = f"verifier, {file.name}: {' '.join(' '.join(lines[first:last]).split())[:110]}"
        name += f" (line {node.lineno})" if name in mutants else ""
        mutants[name] = without(name, file.name, "\n".join(lines[begin:last]), "\n".join(gone))
    return list(mutants.values())


def without(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, (Replacement(f"../{FOLDER}/{file}", old, new),), TESTS)


OTHERS: list[tuple[str, str, str, str]] = [
    ("a product without pins chains to any root", "_snp.py", "roots.get(product, frozenset())", "roots.get(product)"),
    ("a simulator's pins are not looked at", "_snp.py", "policy.roots if roots is None", "None if roots is None"),
    ("the committed TCB is not looked at", "_snp.py", '("committed", report.committed_tcb), ', ""),
    ("the launch TCB is not looked at", "_snp.py", ', ("launch", report.launch_tcb)', ""),
    ("Siena has Genoa's floor", "_report.py", 'return f"{product}/{self.model:02x}"', "return product"),
    (
        "a masked chip id passes for a listed one",
        "_snp.py",
        "if wanted is not None and value",
        "if wanted is not None and any(value) and value",
    ),
    (
        "a salt of any length",
        "_chain.py",
        "padding.MGF1(hashes.SHA384()), _SALT)",
        "padding.MGF1(hashes.SHA384()), padding.PSS.AUTO)",
    ),
    ("the root's own signature is not looked at", "_chain.py", '    _check_issued(root, root, "the root", now)\n', ""),
    (
        "what is under the root is not looked at",
        "_chain.py",
        '    _check_issued(middle, root, "the certificate under the root", now)\n',
        "",
    ),
    (
        "who signed the chip's certificate is not looked at",
        "_chain.py",
        '    _check_issued(key, middle, f"the {signing_key}", now)\n',
        "",
    ),
    ("an extension twice", "_der.py", "if name in extensions:", "if False:"),
    ("a leaf without the binding", "_binding.py", "bytes((0, binding))", "bytes((0, 1))"),
    ("a leaf without its prefix", "_binding.py", "bytes((0, binding))", "bytes((binding,))"),
    ("a leaf without the exporter", "_binding.py", "+ nonce + exporter).digest()", "+ nonce + bytes(32)).digest()"),
    ("a leaf without the nonce", "_binding.py", "+ nonce + exporter).digest()", "+ bytes(32) + exporter).digest()"),
    ("report data without the claims", "_binding.py", "+ sha384(claims).digest() + head", "+ sha384(b'').digest() + head"),
    ("report data without the key", "_binding.py", "LABEL + sha384(public_key).digest()", "LABEL + sha384(b'').digest()"),
    ("report data without the tree", "_binding.py", "+ sha384(claims).digest() + head", "+ sha384(claims).digest() + bytes(32)"),
    (
        "the key binding takes the connection's exporter",
        "_verify.py",
        'channel.exporter if name == "exporter" else bytes(_binding.EXPORTER_BYTES)',
        "channel.exporter",
    ),
    (
        "a pre-release passes for the release",
        "_verify.py",
        '(number == least and not (matched[4] or "").startswith("-"))',
        "number == least",
    ),
    ("a truth value passes for a number", "_policy_fields.py", "if type(value) is not int or", "if not isinstance(value, int) or"),
    ("a field twice", "_refuse.py", "if len(members) != len(pairs):", "if False:"),
    (
        "what a library raises leaves the verifier",
        "_verify.py",
        "    except Exception as error:\n        refuse(",
        "    except ZeroDivisionError as error:\n        refuse(",
    ),
    ("a panic leaves the verifier", "_tdx.py", "except BaseException as error:  #", "except Exception as error:  #"),
]

EVERY = [mutant for file in sorted((ROOT / FOLDER).glob("*.py")) for mutant in refusals(file)]
EVERY += [without(f"verifier, {file}: {name}", file, old, new) for name, file, old, new in OTHERS]
MUTANTS: list[Mutant] = [mutant for mutant in EVERY if not any(words in mutant.name for words in DOUBLED)]
