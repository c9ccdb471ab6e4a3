"""Policies that are incomplete or wrong, each in one field: all are refused under the check "policy"."""

from typing import Any

Policy = dict[str, Any]
TDX: Policy = {"mr_td": ["ab" * 48], "mr_seam": None, "rtmrs": {"0": ["cd" * 48]}}


def incomplete(good: Policy) -> dict[str, Policy]:
    """By what is wrong. ``good`` is one for a Milan."""
    floor = good["tcb"]["Milan"]
    required = ("platforms", "measurements", "tcb", "chip_ids", "config_digests", "storage_levels")
    found = {f"without {name}": {key: value for key, value in good.items() if key != name} for name in required}
    found["with nothing in it"] = {}
    with_tdx = good | {"platforms": ["sev-snp", "tdx"]}
    wrong: dict[str, tuple[str, Any]] = {
        "no platform": ("platforms", []),
        "an unknown platform": ("platforms", ["sev-snp", "sgx"]),
        "a platform that is no list": ("platforms", "sev-snp"),
        "platforms that are null": ("platforms", None),
        "no measurement": ("measurements", []),
        "any measurement of a device": ("measurements", None),
        "a measurement that is too short": ("measurements", ["ab" * 47]),
        "a measurement in upper case": ("measurements", ["AB" * 48]),
        "a measurement that is a number": ("measurements", [7]),
        "a measurement with a line's end": ("measurements", ["ab" * 48 + "\n"]),
        "no floor": ("tcb", {}),
        "any floor": ("tcb", None),
        "floors that are a list": ("tcb", [floor]),
        "a floor without a level": ("tcb", {"Milan": {"bl": 4, "tee": 0, "snp": 24}}),
        "a floor that is empty": ("tcb", {"Milan": {}}),
        "a floor with another product's level": ("tcb", {"Milan": floor | {"fmc": 1}}),
        "a floor of Turin without its own level": ("tcb", {"Turin": floor}),
        "a floor of an unknown product": ("tcb", {"Naples": floor}),
        "a floor of a model in upper case": ("tcb", {"Genoa/A0": floor}),
        "a floor of a model of one digit": ("tcb", {"Genoa/a": floor}),
        "a level that is a fraction": ("tcb", {"Milan": floor | {"snp": 24.5}}),
        "a level below 0": ("tcb", {"Milan": floor | {"snp": -1}}),
        "a level above 255": ("tcb", {"Milan": floor | {"snp": 256}}),
        "a level that is a truth value": ("tcb", {"Milan": floor | {"tee": False}}),
        "a level that is null": ("tcb", {"Milan": floor | {"tee": None}}),
        "a chip id that is too short": ("chip_ids", ["ab" * 32]),
        "chip ids that are text": ("chip_ids", "ab" * 64),
        "a configuration that is too short": ("config_digests", ["ab" * 32]),
        "no storage level": ("storage_levels", []),
        "an unknown storage level": ("storage_levels", ["tape"]),
        "storage levels that are null": ("storage_levels", None),
        "an unknown binding": ("binding", "certificate"),
        "a binding that is a number": ("binding", 1),
        "no signing key": ("signing_keys", []),
        "an unknown signing key": ("signing_keys", ["VLEK", "ARK"]),
        "signing keys that are null": ("signing_keys", None),
        "a VMPL that does not exist": ("vmpl", 4),
        "a VMPL that is null": ("vmpl", None),
        "a VMPL that is text": ("vmpl", "0"),
        "a guest SVN of more than 32 bits": ("min_guest_svn", 1 << 32),
        "an ABI of one number": ("min_abi", [1]),
        "an ABI of three numbers": ("min_abi", [1, 55, 0]),
        "an ABI that does not fit": ("min_abi", [1, 256]),
        "debug allowed": ("allow", ["smt", "debug"]),
        "migration allowed": ("allow", ["migrate_ma"]),
        "a bit allowed that needs no leave": ("allow", ["single_socket"]),
        "an unknown bit allowed": ("allow", ["hyperthreading"]),
        "debug required": ("require_policy", ["debug"]),
        "smt required": ("require_policy", ["smt"]),
        "an unknown bit required": ("require_policy", ["everything"]),
        "an unknown bit of the platform": ("require_platform", ["sme"]),
        "no report version": ("report_versions", []),
        "a report version that nobody reads": ("report_versions", [3, 6]),
        "report version 1": ("report_versions", [1]),
        "an id key digest that is too long": ("id_key_digests", ["ab" * 49]),
        "an author key digest that is no hex": ("author_key_digests", ["xy" * 48]),
        "host data that are too long": ("host_data", ["ab" * 48]),
        "development that is text": ("development", "no"),
        "development that is a number": ("development", 0),
        "development that is null": ("development", None),
        "roots of a device": ("roots", ["ab" * 32]),
        "no roots of a device": ("roots", []),
        "a version of two numbers": ("min_version", "1.2"),
        "a version with a letter": ("min_version", "v1.2.3"),
        "a version with a needless 0": ("min_version", "1.02.3"),
        "an unknown field": ("mesurements", ["ab" * 48]),
        "a known field in another case": ("Measurements", ["ab" * 48]),
        "a field that allows simulated evidence": ("allow_simulated", True),
    }
    found |= {name: good | {field: value} for name, (field, value) in wrong.items()}
    found["tdx without its field"] = with_tdx
    found["tdx that is null"] = with_tdx | {"tdx": None}
    found["a root that is too short"] = good | {"platforms": ["sev-snp", "simulated"], "roots": ["ab" * 31]}
    tdx: dict[str, Policy] = {f"tdx without {name}": {key: value for key, value in TDX.items() if key != name} for name in TDX}
    tdx |= {
        "tdx with no MRTD": TDX | {"mr_td": []},
        "tdx with an MRTD that is too short": TDX | {"mr_td": ["ab" * 32]},
        "tdx with a fifth RTMR": TDX | {"rtmrs": {"4": ["ab" * 48]}},
        "tdx with an RTMR without a value": TDX | {"rtmrs": {"1": []}},
        "tdx with no status": TDX | {"statuses": []},
        "tdx with a status that is a number": TDX | {"statuses": [1]},
        "tdx with an advisory without a name": TDX | {"advisories": [""]},
        "tdx with an unknown field": TDX | {"debug": True},
        "tdx with advisories that are null": TDX | {"advisories": None},
    }
    return found | {name: with_tdx | {"tdx": fields} for name, fields in tdx.items()}
