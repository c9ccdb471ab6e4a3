"""The data owner's side of the demonstration: uploads the training set with a privacy limit, and sees what it cost.

python examples/owner.py --port 50056 --data FILE
"""

from __future__ import annotations

import argparse

import parts

from bastionlab import Connection


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts.add_arguments(arguments)
    arguments.add_argument("--limit", type=float, default=6.0, help="privacy limit, in eps (default: 6.0)")
    options = arguments.parse_args()

    part = parts.choose(options)
    with Connection("localhost", options.port) as connection:
        client = connection.client.torch
        dataset = client.RemoteDataset(part.split.train, privacy_limit=options.limit, name=part.name)
        print(f"uploaded {dataset.nb_samples} records as {dataset.name!r}: {dataset.identifier}")
        print(dataset.budget())


if __name__ == "__main__":
    main()
