"""survival.py DEVICE FIRST [--all]: undergoes the ordeals from one on, and says the name of each before it begins."""

from __future__ import annotations

import sys

import standin
from engine import LIBRARY, OPERATORS, Engine


def main(device: str, first: int, everything: bool) -> None:
    stand_in = standin.load() if device == standin.DEVICE else None
    from ordeals import ordeals  # some differentiate while they are imported

    engine = Engine(LIBRARY, OPERATORS, threads=1).on(device)
    for ordeal in ordeals(everything)[first:]:
        print(ordeal.name, flush=True)
        prepared = ordeal.prepare(engine)
        if stand_in is not None:
            stand_in.standin_deadly(True)
        prepared()
        if stand_in is not None:
            stand_in.standin_deadly(False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--all" in sys.argv)
