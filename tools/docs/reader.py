"""Does what a page says, block after block, as the people would whom it is written for.

Each person has a shell, a Python and a `BASTIONLAB_HOME` of their own, all in one empty directory, in which `bin/` leads to the
built programs. Whatever a page started in the background ends with it.
"""

from __future__ import annotations

import contextlib
import doctest
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from page import NOBODY, RUN, Block, Page

HERE = Path(__file__).resolve().parent
PORT = 50056
BLOCK_SECONDS = 240
START_SECONDS = 60
STOP_SECONDS = 15
SERVES = re.compile(r"^[^#\n]*\bbastionlab serve\b.*&\s*$", re.MULTILINE)


class Broken(Exception):
    """A block did not do what the page says; says where, and shows what it printed."""


@dataclass
class Programs:
    """What a page is followed with."""

    bin: Path
    python: Path


class Person:
    """One process that takes blocks of one language, its output in a file."""

    def __init__(self, command: list[str], directory: Path, environment: Mapping[str, str], output: Path) -> None:
        take, self._give = os.pipe()
        self._answer, answer = os.pipe()
        # To 3 and 4 by way of high numbers: here they may be 4 and 3.
        take, answer = _moved_up(take), _moved_up(answer)
        wired = ["bash", "-c", f'exec 3<&{take} 4>&{answer} {take}<&- {answer}>&-; exec "$@"', "bash", *command]
        self.output = output
        self._read_to = 0
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                wired, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                pass_fds=(take, answer), start_new_session=True,
            )  # fmt: skip
        os.close(take)
        os.close(answer)

    def tell(self, message: str) -> str:
        """Hands something over and waits for the answer; empty where the process ended over it."""
        os.write(self._give, message.encode() + b"\n")
        deadline = time.monotonic() + BLOCK_SECONDS
        while time.monotonic() < deadline:
            if select.select([self._answer], [], [], 0.2)[0]:
                return os.read(self._answer, 1 << 16).decode()
            if self.process.poll() is not None:
                return ""
        raise TimeoutError

    def said(self) -> str:
        """What was printed since this was asked last."""
        with self.output.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        self._read_to += len(new)
        return new.decode(errors="replace")

    def end(self) -> None:
        """Everything in its session: a server that was left in the background stops in order."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline and _session_lives(self.process):
                time.sleep(0.05)
        os.close(self._give)
        os.close(self._answer)


def _moved_up(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return moved


def _session_lives(leader: subprocess.Popen[bytes]) -> bool:
    leader.poll()
    try:
        os.killpg(leader.pid, 0)
    except ProcessLookupError:
        return False
    return True


class Reader:
    def __init__(
        self, page: Page, directory: Path, programs: Programs, prelude: str = "", environment: Mapping[str, str] = {}
    ) -> None:
        self.page = page
        self.directory = directory
        self.programs = programs
        self.prelude = prelude
        self.environment = dict(environment)
        self.people: dict[tuple[str, str], Person] = {}
        self.printed = ""
        (directory / "bin").symlink_to(programs.bin)

    def follow(self) -> Iterator[tuple[Block, float]]:
        """Runs the page; yields each block that ran with the seconds that it took. Raises Broken at the first that is wrong."""
        if "server" in self.page.needs:
            self._run(Block(self.page.name, 1, "sh", f"bin/bastionlab serve > {self.directory}/server.log 2>&1 &\n"))
        for block in self.page.blocks:
            if block.language in RUN and block.not_run is None:
                began = time.monotonic()
                self._run(block)
                yield block, time.monotonic() - began
            elif "prints" in block.said:
                self._compare(block)

    def check(self, code: str, file: str, who: str = NOBODY) -> None:
        """Runs more in somebody's Python, after the page."""
        self._run(Block(Path(file), 1, "python", code, {"run": who}))

    def end(self) -> None:
        for person in self.people.values():
            person.end()

    def _run(self, block: Block) -> None:
        person = self._person(block.language, block.who)
        person.said()
        try:
            failed = self._shell(person, block) if block.language == "sh" else self._python(person, block)
        except TimeoutError:
            raise Broken(f"{block.where}: not done after {BLOCK_SECONDS} s\n{person.said()}") from None
        self.printed = person.said()
        if failed != ("fails" in block.said):
            raise Broken(f"{block.where}: {'failed' if failed else 'did not fail, as the page says it does'}\n{self.printed}")
        if block.language == "sh" and (started := SERVES.search(block.code)):
            self._wait_for_the_server(person, block, started.group(0))

    def _python(self, person: Person, block: Block) -> bool:
        request = json.dumps({"file": str(block.page), "line": block.line, "code": block.code})
        answer = person.tell(request)
        return not answer or bool(json.loads(answer)["failed"])

    def _shell(self, person: Person, block: Block) -> bool:
        script = self.directory / f".{block.who}-{block.line}.sh"
        # The page's lines, so that bash names them; what must fail does so in a shell of its own, or the reader's would end.
        code = block.code if "fails" not in block.said else f"( {block.code.rstrip()}\n)"
        script.write_text("\n" * (block.line - 1) + code + "\n")
        if "fails" in block.said:
            return (
                person.tell(f"if bash -euo pipefail {script} 3<&- 4>&-; then echo done >&4; else echo failed >&4; fi") != "done\n"
            )
        # What a block leaves in the background must not hold the pipes.
        return person.tell(f". {script} 3<&- 4>&-; echo done >&4") != "done\n"

    def _person(self, language: str, who: str) -> Person:
        if (language, who) not in self.people:
            output = self.directory / f".{who}-{language}.out"
            if language == "sh":
                command = ["bash", "-euo", "pipefail", "-c", 'while read -r line <&3; do eval "$line"; done']
            else:
                command = [str(self.programs.python), "-u", str(HERE / "interpreter.py")]
            self.people[language, who] = person = Person(command, self.directory, self._environment(who), output)
            if language == "python" and self.prelude:
                prelude = Block(Path(f"the prelude of {self.page.name}"), 1, "python", self.prelude)
                if self._python(person, prelude):
                    raise Broken(f"{prelude.where}: failed\n{person.said()}")
        return self.people[language, who]

    def _environment(self, who: str) -> dict[str, str]:
        home = self.directory / ".home" / who
        home.mkdir(parents=True, exist_ok=True)
        path = [str(self.directory / "bin"), str(self.programs.python.parent), os.environ["PATH"]]
        taken = {name: value for name, value in os.environ.items() if not name.startswith(("BASTIONLAB_", "MAKE", "MFLAGS"))}
        caches = {"GOPATH": "go", "GOCACHE": ".cache/go-build", "PIP_CACHE_DIR": ".cache/pip"}
        kept = {name: os.environ.get(name, str(Path.home() / folder)) for name, folder in caches.items()}
        return taken | kept | self.environment | {
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "BASTIONLAB_HOME": str(home / "bastionlab"),
            "XDG_DATA_HOME": str(self.directory / ".data"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def _wait_for_the_server(self, shell: Person, block: Block, command: str) -> None:
        """Until it listens, or, where the block has stopped it again, not at all. Where it picks the port, the page must wait."""
        listen = re.search(r"--listen[ =](\S+)", command)
        host, _, port = (listen.group(1) if listen else f"127.0.0.1:{PORT}").rpartition(":")
        if port == "0":
            return
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((host or "127.0.0.1", int(port)), timeout=1).close()
                return
            if shell.tell("jobs -rp | wc -l >&4").strip() == "0":
                return
            time.sleep(0.05)
        log = "".join(file.read_text(errors="replace")[-2000:] for file in self.directory.glob("*.log"))
        raise Broken(f"{block.where}: no server answers on port {port} after {START_SECONDS} s\n{log}")

    def _compare(self, block: Block) -> None:
        """What doctest takes for the same: `...` is anything, and blanks are blanks."""
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not doctest.OutputChecker().check_output(block.code, self.printed, options):
            raise Broken(f"{block.where}: the page shows\n{block.code}and what was printed is\n{self.printed}")


def port_is_taken(port: int = PORT) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit("this is a part of tests/test_docs.py and of tools/docs/follow.py")
