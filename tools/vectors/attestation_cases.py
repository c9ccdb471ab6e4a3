"""The cases of vectors/attestation/synthetic.json: evidence, right or wrong in a named way."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from attestation_case import (
    CLAIMS,
    CONNECTION,
    EXPORTER,
    GENOA,
    KEY,
    MIDDLEMAN,
    MILAN,
    NONCE,
    OTHER_CONNECTION,
    OTHER_NONCE,
    SERVER,
    SIENA,
    SIMULATED,
    STRANGER,
    TURIN,
    VLEK,
    Case,
    case,
)
from attestation_policies import incomplete
from cryptography.hazmat.primitives.asymmetric import ec
from software_device import CHIP, SoftwareDevice, claims, policy_for, renamed_algorithm, tree

from bastionlab._attestation import Channel, _binding

EARLY, LATE = datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2025, 12, 31, tzinfo=timezone.utc)
NEVER_YET = (datetime(2026, 1, 2, tzinfo=timezone.utc), datetime(2030, 1, 1, tzinfo=timezone.utc))


def floor(device: SoftwareDevice, **higher: int) -> dict[str, dict[str, int]]:
    (name,) = policy_for(device)["tcb"]
    return {name: device.levels | higher}


def accepted() -> Iterator[Case]:
    for device in (MILAN, GENOA, SIENA, TURIN):
        yield case(f"accepted: {device.product}, exporter", None, device)
        yield case(f"accepted: {device.product}, key", None, device, binding=KEY)
    yield case("accepted: VLEK", None, VLEK)
    yield case("accepted: VCEK or VLEK", None, VLEK, policy=dict(signing_keys=["VCEK", "VLEK"]))
    yield case("accepted: report version 2", None, version=2, policy=dict(report_versions=[2]))
    yield case("accepted: report version 2 of Turin", None, TURIN, version=2, policy=dict(report_versions=[2, 3]))
    yield case(
        "accepted: report version 2 whose certificate has a stepping",
        None,
        version=2,
        product_name="Milan-B0",
        policy=dict(report_versions=[2]),
    )
    yield case("accepted: report version 4", None, version=4)
    yield case("accepted: report version 5", None, version=5)
    yield case("accepted: another Milan under its own floor", None, cpuid=(0x19, 0x08), policy=dict(tcb={"Milan/08": MILAN.levels}))
    yield case("accepted: Bergamo", None, GENOA, cpuid=(0x19, 0xAF), policy=dict(tcb={"Genoa/af": GENOA.levels}))
    yield case("accepted: masked chip id", None, chip_id=bytes(64), hwid=CHIP)
    yield case("accepted: masked chip id of Turin", None, TURIN, chip_id=bytes(64), hwid=CHIP[:8])
    yield case("accepted: bits that only restrict", None, bits=["single_socket", "ciphertext_hiding", "page_swap_disable"])
    yield case("accepted: smt with leave", None, bits=["smt"], policy=dict(allow=["smt"]))
    yield case("accepted: smt and cxl with leave", None, bits=["smt", "cxl"], policy=dict(allow=["cxl", "smt"]))
    yield case("accepted: a bit that is required", None, bits=["rapl_dis"], policy=dict(require_policy=["rapl_dis"]))
    yield case("accepted: a platform that is required", None, policy=dict(require_platform=["alias_check_complete"]))
    yield case("accepted: a TCB above the floor", None, tcb=dict(snp=25, ucode=220))
    yield case("accepted: one of several measurements", None, policy=dict(measurements=["00" * 48, "ab" * 48]))
    yield case("accepted: a chip of the list", None, policy=dict(chip_ids=["00" * 64, CHIP.hex()]))
    digests = dict(id_key_digests=["01" * 48], author_key_digests=["02" * 48], host_data=["03" * 32])
    held = dict(id_key_digest=b"\1" * 48, author_key_digest=b"\2" * 48, host_data=b"\3" * 32)
    yield case("accepted: digests of the policy", None, policy=digests, **held)
    yield case("accepted: the VMPL of the policy", None, vmpl=1, policy=dict(vmpl=1))
    yield case("accepted: the guest SVN of the policy", None, guest_svn=3, policy=dict(min_guest_svn=3))
    yield case("accepted: the ABI of the policy", None, abi=(1, 55), policy=dict(min_abi=[1, 55]))
    yield case("accepted: a larger ABI major with a smaller minor", None, abi=(2, 0), policy=dict(min_abi=[1, 55]))
    yield case("accepted: any configuration", None, said=claims(config_digest=b""), policy=dict(config_digests=None))
    yield case(
        "accepted: key on disk with leave", None, said=claims(storage_level="file"), policy=dict(storage_levels=["memory", "file"])
    )
    yield case("accepted: development with leave", None, said=claims(development=True), policy=dict(development=True))
    for version in ("1.2.3", "1.2.4", "1.10.0", "2.0.0", "1.2.3+build.7", "1.2.4-rc.1"):
        yield case(
            f"accepted: version {version} where 1.2.3 is wanted",
            None,
            said=claims(version=version),
            policy=dict(min_version="1.2.3"),
        )
    yield case("accepted: the policy's binding, exporter", None, policy=dict(binding="exporter"))
    yield case("accepted: the policy's binding, key", None, binding=KEY, policy=dict(binding="key"))
    yield case("accepted: a stolen key, by the key binding", None, binding=KEY, attested_exporter=OTHER_CONNECTION)
    yield case("accepted: simulated", None, SIMULATED, roots=None)
    yield case("accepted: simulated, key", None, SIMULATED, binding=KEY, roots=None)
    yield case(
        "accepted: simulated, its root pinned", None, SIMULATED, roots=None, policy=dict(roots=["00" * 32, SIMULATED.root_pin])
    )
    yield case(
        "accepted: simulated, any measurement and no floor", None, SIMULATED, roots=None, policy=dict(measurements=None, tcb=None)
    )
    yield case("accepted: a device where simulated would do too", None, policy=dict(platforms=["sev-snp", "simulated"]))
    yield case(
        "accepted: simulated where a device would do too",
        None,
        SIMULATED,
        roots=None,
        policy=dict(platforms=["sev-snp", "simulated"]),
    )
    for size, index in (
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 2),
        (5, 4),
        (6, 5),
        (7, 3),
        (8, 7),
        (100, 63),
        (1000, 999),
        (1024, 0),
        (1024, 1023),
    ):
        yield case(f"accepted: caller {index} of {size}", None, tree_size=size, leaf_index=index)


def formats() -> Iterator[Case]:
    yield case("evidence: no report", "evidence", changed=dict(report=b""))
    yield case("evidence: nothing at all", "evidence", changed=dict(report=b"", format="", endorsements=[], claims=b""))
    yield case("format: none", "format", format="")
    yield case("format: an unknown one", "format", format="sev-snp/report")
    yield case("format: upper case", "format", format="SEV-SNP")
    yield case("simulated: where a device is wanted", "simulated", SIMULATED, whole_policy=policy_for(MILAN))
    yield case("simulated: under AMD's pins", "simulated", SIMULATED, roots=None, whole_policy=policy_for(MILAN))
    yield case("policy: a device where simulated is wanted", "policy", whole_policy=policy_for(SIMULATED))
    report = MILAN.evidence(NONCE, EXPORTER, Channel(SERVER, EXPORTER, CONNECTION), CLAIMS).report
    yield case("format: a byte short", "format", changed=dict(report=report[:-1]))
    yield case("format: a byte long", "format", changed=dict(report=report + b"\0"))
    yield case("format: version 2 by default", "format", version=2)
    yield case("format: version 6", "format", version=6)
    yield case("format: another signature algorithm", "format", algorithm=2)
    yield case("format: reserved bytes before the report data", "format", patch={0x4F: b"\1"})
    yield case("format: reserved bytes after the signature", "format", patch_signed={0x49F: b"\1"})
    yield case("format: a bit of the signer's that is reserved", "format", signer_info=1 << 5)
    yield case("format: an unknown bit of the guest policy", "format", guest_policy=1 << 17 | 1 << 26)
    yield case("format: a guest policy without its one", "format", guest_policy=0)
    yield case("format: claims that cannot be read", "format", said=b"\xff\xff")
    chip, middle, root = MILAN.endorsements()
    yield case("format: a certificate cut short", "format", endorsements=[chip[:-1], middle, root])
    yield case("format: a certificate with a byte behind it", "format", endorsements=[chip + b"\0", middle, root])
    yield case("format: a root that is no certificate", "format", endorsements=[chip, middle, b"0"])
    yield case("signer: a VLEK by default", "signer", VLEK, policy=dict(signing_keys=["VCEK"]))
    yield case("signer: a VCEK where a VLEK is wanted", "signer", policy=dict(signing_keys=["VLEK"]))
    yield case("signer: nobody", "signer", signer_info=7 << 2)
    yield case("product: an unknown family", "product", cpuid=(0x18, 0x01))
    yield case("product: an unknown model", "product", cpuid=(0x19, 0x20))
    yield case(
        "product: version 2 with a certificate for another",
        "product",
        version=2,
        product_name="Naples-B0",
        policy=dict(report_versions=[2]),
    )


def chains() -> Iterator[Case]:
    chip, middle, root = MILAN.endorsements()
    elliptic = ec.generate_private_key(ec.SECP384R1()).public_key()
    of_ec = MILAN._certificate("SEV-Milan", "ARK-Milan", elliptic, MILAN.keys.ark, MILAN.shape.validity)
    yield case("chain: AMD's pins", "chain", roots=None)
    yield case("chain: no pins for the product", "chain", roots={})
    yield case("chain: pinned for another product", "chain", roots={"Genoa": frozenset({MILAN.root_pin})})
    yield case("chain: a stranger's root", "chain", STRANGER)
    yield case(
        "chain: a stranger's root beside the pinned one", "chain", STRANGER, endorsements=[*STRANGER.endorsements()[:2], root]
    )
    yield case("chain: a stranger's key of the chip", "chain", STRANGER, endorsements=[STRANGER.endorsements()[0], middle, root])
    yield case(
        "chain: another simulator than the pinned one",
        "chain",
        SoftwareDevice(fresh_keys=True),
        policy=dict(roots=[SIMULATED.root_pin]),
    )
    yield case("chain: no simulator is pinned", "chain", SIMULATED, policy=dict(roots=[]))
    for count in range(3):
        yield case(f"chain: {count} certificates", "chain", endorsements=[chip, middle, root][:count])
    yield case("chain: 4 certificates", "chain", endorsements=[chip, middle, root, root])
    yield case("chain: another order", "chain", endorsements=[chip, root, middle])
    yield case("chain: the root in the place of what is under it", "chain", signed_by="ark", issuer="ARK-Milan", endorsements=None)
    yield case("chain: signed by another key under the right name", "chain", signed_by="ark")
    yield case("chain: under another name", "chain", issuer="SEV-Genoa")
    yield case("chain: what is under the root signs itself", "chain", ask_signed_by="ask")
    yield case("chain: a root that another key signed", "chain", ark_signed_by="ask")
    yield case("chain: an elliptic key under the root", "chain", endorsements=[chip, of_ec, root])
    yield case("chain: PKCS #1 v1.5", "chain", pss=False)
    renamed = renamed_algorithm(chip, MILAN.keys.ask)
    yield case("chain: RSASSA-PSS under the name of PKCS #1 v1.5", "chain", endorsements=[renamed, middle, root])
    yield case("chain: a salt of another length", "chain", salt=32)
    yield case("chain: a VCEK that ran out", "chain", validity=(EARLY, LATE))
    yield case("chain: a VCEK that does not hold yet", "chain", validity=NEVER_YET)
    yield case("chain: an ASK that ran out", "chain", ask_validity=(EARLY, LATE))
    yield case("chain: an ASK that does not hold yet", "chain", ask_validity=NEVER_YET)
    yield case("chain: a root that ran out", "chain", ark_validity=(EARLY, LATE))
    yield case("chain: long afterwards", "chain", now=datetime(2041, 1, 1, tzinfo=timezone.utc))
    yield case("chain: a VLEK's certificate for a VCEK", "chain", common_name="SEV-VLEK")
    yield case("chain: a VCEK's certificate for a VLEK", "chain", VLEK, common_name="SEV-VCEK")
    yield case("chain: a certificate without its role", "chain", common_name="SEV")
    yield case("signature: a key on P-256", "signature", curve=ec.SECP256R1())
    for name, number in dict(r=0x2A0, s=0x2A0 + 72).items():
        yield case(f"signature: {name} is 0", "signature", patch_signed={number: bytes(72)})
        yield case(f"signature: {name} beyond the order", "signature", patch_signed={number: b"\xff" * 48})
        yield case(f"signature: {name} of 72 bytes", "signature", patch_signed={number + 71: b"\1"})
    for name, offset in dict(measurement=0x90, TCB=0x186, chip=0x1A0, data=0x50).items():
        yield case(f"signature: a byte of the report changed: {name}", "signature", patch_signed={offset: b"\x7f"})
    yield case("signature: the certificate of another chip", "signature", SIMULATED, endorsements=MILAN.endorsements(), roots=None)


def certificates() -> Iterator[Case]:
    for device in (MILAN, TURIN):
        for name, level in device.levels.items():
            yield case(f"vcek: {device.product}, for another {name}", "vcek", device, cert_tcb={name: level + 1})
    yield case("vcek: for a newer TCB than is reported", "vcek", tcb=dict(snp=23), cert_tcb=dict(snp=24))
    yield case("vcek: without a level", "vcek", without=["3.3"])
    yield case("vcek: without a chip", "vcek", without=["4"])
    yield case("vcek: for another chip", "vcek", hwid=CHIP[::-1])
    yield case("vcek: Turin, for another chip", "vcek", TURIN, hwid=CHIP[8:16])
    yield case("vcek: Turin, the chip at the other end", "vcek", TURIN, chip_id=bytes(56) + CHIP[:8], hwid=CHIP[:8])
    yield case("vcek: Turin, more of a chip id than there is", "vcek", TURIN, chip_id=CHIP[:9] + bytes(55), hwid=CHIP[:8])
    for device in (MILAN, TURIN):
        for name, level in device.levels.items():
            yield case(
                f"tcb: {device.product}, {name} below the floor", "tcb", device, policy=dict(tcb=floor(device, **{name: level + 1}))
            )
    yield case("tcb: committed below the floor", "tcb", committed=dict(snp=23))
    yield case("tcb: launched below the floor", "tcb", launch=dict(ucode=218))
    yield case("tcb: no floor for the product", "tcb", policy=dict(tcb={"Genoa": GENOA.levels}))
    yield case("tcb: Genoa's floor is not Siena's", "tcb", SIENA, policy=dict(tcb={"Genoa": dict.fromkeys(SIENA.levels, 0)}))
    yield case("tcb: Siena's floor is not Genoa's", "tcb", GENOA, policy=dict(tcb={"Genoa/a0": dict.fromkeys(SIENA.levels, 0)}))
    yield case("tcb: simulated, below a floor that is stated", "tcb", SIMULATED, policy=dict(tcb=floor(SIMULATED, snp=25)))


def guests() -> Iterator[Case]:
    yield case("measurement: another", "measurement", measurement=bytes(48))
    yield case("measurement: simulated, another", "measurement", SIMULATED, measurement=bytes(48))
    yield case("measurement: simulated, none is listed", "measurement", SIMULATED, policy=dict(measurements=[]))
    yield case("debug", "debug", debug=True)
    yield case("debug: simulated", "debug", SIMULATED, debug=True)
    yield case("debug: whatever else is allowed", "debug", debug=True, bits=["smt", "cxl"], policy=dict(allow=["smt", "cxl"]))
    yield case("migrate", "migrate", migrate=True)
    yield case("policy_bits: smt without leave", "policy_bits", bits=["smt"])
    yield case("policy_bits: cxl without leave", "policy_bits", bits=["smt", "cxl"], policy=dict(allow=["smt"]))
    yield case("policy_bits: one that is required", "policy_bits", policy=dict(require_policy=["ciphertext_hiding"]))
    yield case("platform: one that is required", "platform", policy=dict(require_platform=["ciphertext_hiding"]))
    yield case("abi: an older one", "abi", policy=dict(min_abi=[1, 56]))
    yield case("abi: an older major with a larger minor", "abi", abi=(1, 200), policy=dict(min_abi=[2, 0]))
    yield case("vmpl: another", "vmpl", vmpl=2)
    yield case("vmpl: less is not better", "vmpl", vmpl=0, policy=dict(vmpl=1))
    yield case("guest_svn: an older one", "guest_svn", guest_svn=2, policy=dict(min_guest_svn=3))
    yield case("chip_id: another", "chip_id", policy=dict(chip_ids=["00" * 63 + "01"]))
    yield case("chip_id: none is listed", "chip_id", policy=dict(chip_ids=[]))
    yield case(
        "chip_id: masked where chips are listed", "chip_id", chip_id=bytes(64), hwid=CHIP, policy=dict(chip_ids=[CHIP.hex()])
    )
    yield case("id_key_digest: another", "id_key_digest", policy=dict(id_key_digests=["11" * 48]))
    yield case("author_key_digest: another", "author_key_digest", policy=dict(author_key_digests=["11" * 48]))
    yield case("host_data: another", "host_data", policy=dict(host_data=["22" * 32]))


def bindings() -> Iterator[Case]:
    others = [bytes([number]) * 32 for number in range(4)]
    mine = _binding.leaf(EXPORTER, NONCE, CONNECTION)
    four = [mine, *others[1:]]
    _, path = tree(four, 0)

    def of_four(name: str, **fields: Any) -> Case:
        return case(
            f"binding: {name}", "binding", changed=dict(tree_size=4, leaf_index=0, path=path) | fields, report_data=said_four
        )

    said_four = _binding.report_data(SERVER, CLAIMS, tree(four, 0)[0])
    for binding, word in ((KEY, "key"), (EXPORTER, "exporter")):
        yield case(f"binding: {word}, evidence for another nonce", "binding", binding=binding, attested_nonce=OTHER_NONCE)
        yield case(f"binding: {word}, evidence of another server's key", "binding", binding=binding, attested_key=MIDDLEMAN)
        yield case(
            f"binding: {word}, claims that were changed", "binding", binding=binding, changed=dict(claims=claims(boot_id="another"))
        )
    yield case("binding: a relay with a stolen key, by the exporter", "binding", attested_exporter=OTHER_CONNECTION)
    yield case("binding: key where the connection was asked for", "binding", binding=KEY, exposed=EXPORTER)
    yield case("binding: key, said to be exporter", "binding", binding=KEY, exposed=EXPORTER, evidence_binding=EXPORTER)
    yield case("binding: exporter where the key was asked for", "binding", exposed=KEY)
    yield case("binding: exporter, said to be key", "binding", exposed=KEY, evidence_binding=KEY)
    yield case("binding: none", "binding", evidence_binding=0)
    yield case("binding: the policy wants the connection", "binding", binding=KEY, policy=dict(binding="exporter"))
    yield case("binding: the policy wants the key", "binding", policy=dict(binding="key"))
    yield case("binding: a short nonce", "binding", attested_nonce=NONCE[:31], nonce=NONCE[:31])
    yield case("binding: a short exporter", "binding", attested_exporter=CONNECTION[:31], exporter=CONNECTION[:31])
    yield case(
        "binding: a byte moved from nonce to exporter",
        "binding",
        attested_nonce=NONCE[:31],
        nonce=NONCE[:31],
        attested_exporter=NONCE[:1] + CONNECTION,
        exporter=NONCE[:1] + CONNECTION,
    )
    yield case("binding: another report data", "binding", report_data=bytes(64))
    yield case("binding: a root without the label", "binding", leaf=bytes(32))
    yield case("accepted: caller 0 of 4, by hand", None, changed=dict(tree_size=4, leaf_index=0, path=path), report_data=said_four)
    yield of_four("an empty tree", tree_size=0, path=[])
    yield of_four("an index beyond the tree", leaf_index=4)
    yield of_four("the largest index", leaf_index=(1 << 32) - 1, tree_size=(1 << 32) - 1)
    yield of_four("a tree that is too large", tree_size=1025)
    yield of_four("a path that is too long", path=[*path, path[0]])
    yield of_four("a path that is too short", path=path[:1])
    yield of_four("no path", path=[])
    yield of_four("a node of 31 bytes", path=[path[0][:31], path[1]])
    yield of_four("a path in another order", path=path[::-1])
    yield of_four("another place in the tree", leaf_index=1)
    yield of_four("a smaller tree", tree_size=2)
    yield of_four("a larger tree", tree_size=5)
    inner = tree(four[:2], 0)[0]
    yield case("binding: the whole tree in the place of a leaf", "binding", leaf=inner, changed=dict(tree_size=1, path=[]))


def claimed() -> Iterator[Case]:
    yield case("config: another", "config", said=claims(config_digest=bytes(48)))
    yield case("config: none", "config", said=claims(config_digest=b""))
    yield case("config: none is listed", "config", policy=dict(config_digests=[]))
    for version in ("1.2.2", "1.1.9", "0.9.9", "1.2.3-rc.1", "", "1.2", "v1.2.3", "1.2.3.4", "latest", "1.2.9999999999"):
        yield case(
            f"version: {version or 'none'} where 1.2.3 is wanted",
            "version",
            said=claims(version=version),
            policy=dict(min_version="1.2.3"),
        )
    yield case("storage: a key on disk", "storage", said=claims(storage_level="file"))
    yield case("storage: a key in memory where it is wanted on disk", "storage", policy=dict(storage_levels=["file"]))
    yield case("storage: none", "storage", said=claims(storage_level=""))
    yield case("development: a server that takes every key", "development", said=claims(development=True))


def orders() -> Iterator[Case]:
    """Two defects: the earlier check is named."""
    stale = dict(attested_nonce=OTHER_NONCE)
    yield case("order: format before signer", "format", version=6, signer_info=7 << 2)
    yield case("order: product before chain", "product", cpuid=(0x18, 1), endorsements=[MILAN.endorsements()[0]] * 3)
    yield case("order: chain before signature", "chain", roots={}, patch_signed={0x90: b"\x7f"})
    yield case("order: signature before debug", "signature", debug=True, patch_signed={0x90: b"\x7f"})
    yield case("order: vcek before tcb", "vcek", tcb=dict(snp=1), cert_tcb=dict(snp=24))
    yield case("order: tcb before measurement", "tcb", tcb=dict(snp=1), measurement=bytes(48))
    yield case("order: measurement before debug", "measurement", debug=True, measurement=bytes(48))
    yield case("order: debug before migrate", "debug", debug=True, migrate=True)
    yield case("order: migrate before policy_bits", "migrate", migrate=True, bits=["smt"])
    yield case("order: policy_bits before platform", "policy_bits", bits=["smt"], policy=dict(require_platform=["tio"]))
    yield case("order: platform before abi", "platform", policy=dict(require_platform=["tio"], min_abi=[9, 0]))
    yield case("order: abi before vmpl", "abi", vmpl=1, policy=dict(min_abi=[9, 0]))
    yield case("order: vmpl before guest_svn", "vmpl", vmpl=1, policy=dict(min_guest_svn=1))
    yield case("order: guest_svn before chip_id", "guest_svn", policy=dict(min_guest_svn=1, chip_ids=[]))
    yield case("order: chip_id before host_data", "chip_id", policy=dict(chip_ids=[], host_data=[]))
    yield case("order: host_data before binding", "host_data", policy=dict(host_data=[]), **stale)
    yield case("order: binding before config", "binding", said=claims(config_digest=b""), **stale)
    yield case(
        "order: config before version", "config", said=claims(config_digest=b"", version=""), policy=dict(min_version="1.0.0")
    )
    yield case(
        "order: version before storage", "version", said=claims(version="", storage_level=""), policy=dict(min_version="1.0.0")
    )
    yield case("order: storage before development", "storage", said=claims(storage_level="", development=True))


def policies() -> Iterator[Case]:
    for name, policy in incomplete(policy_for(MILAN)).items():
        # The policy is read first, so that it needs no evidence; a reader who takes it refuses under "evidence" and is found out.
        yield case(f"policy: {name}", "policy", whole_policy=policy, nothing=True)


def cases() -> Sequence[Case]:
    groups = (accepted, formats, chains, certificates, guests, bindings, claimed, orders, policies)
    return [each for group in groups for each in group()]
