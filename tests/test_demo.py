"""`make demo`, as a newcomer types it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from server_process import ROOT

COLLECTION = os.environ.get("BASTIONLAB_SMS_DATA", "")


def make_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As typed at a prompt: what an outer `make test` hands down would add a line of make's own after the last one."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(["make", "demo", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def demo(*arguments: str) -> dict[str, object]:
    done = make_demo(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(outcome: dict[str, object], data: str) -> None:
    assert set(outcome) == {"data", "accuracy", "majority", "epsilon_spent", "epsilon_remaining", "refused", "seconds"}
    assert outcome["data"] == data
    assert (outcome["epsilon_spent"], outcome["epsilon_remaining"]) == (2.0, 4.0)
    assert outcome["refused"] is True


@pytest.mark.skipif(not COLLECTION, reason="needs BASTIONLAB_SMS_DATA=FILE, the SMS Spam Collection")
def test_the_messages() -> None:
    outcome = demo(f"DATA={COLLECTION}")
    check(outcome, "SMSSpamCollection")
    assert outcome["accuracy"] > 0.96
    assert outcome["seconds"] < 600


def test_the_digits_stand_in() -> None:
    outcome = demo("DEMO_ARGUMENTS=--digits")
    check(outcome, "digits")
    assert outcome["accuracy"] > 0.6


@pytest.mark.parametrize("name", ["messages.txt", "my messages.txt"])
def test_a_wrong_file_is_named(name: str, tmp_path: Path) -> None:
    wrong = tmp_path / name
    wrong.write_text("ham\thello\n")
    done = make_demo(f"DATA={wrong}")
    assert done.returncode != 0
    assert f"{wrong} is not the SMS Spam Collection" in done.stderr
