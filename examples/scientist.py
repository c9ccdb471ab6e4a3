"""The data scientist's side of the demonstration: trains at eps = 2, takes the weights home, and is refused beyond the limit.

    python examples/scientist.py --port 50056 --data FILE

The held-out part plays the scientist's own messages: the server never has it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import parts
import torch
from torch import nn

from bastionlab import Connection
from bastionlab.errors import BudgetExceeded
from bastionlab.torch import Adam

EPS = 2.0
TOO_MUCH = 6.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts.add_arguments(arguments)
    arguments.add_argument("--outcome", type=Path, help="also write what came out there, as JSON")
    options = arguments.parse_args()

    part = parts.choose(options)
    with Connection("localhost", options.port) as connection:
        client = connection.client.torch
        remote_dataset = client.list_remote_datasets()[0]
        learner = client.RemoteLearner(
            part.make_model(),
            remote_dataset,
            max_batch_size=part.max_batch_size,
            loss="cross_entropy",
            optimizer=Adam(lr=part.lr),
            model_name=part.model_name,
        )
        print(learner.plan(eps=EPS, **part.fit))
        learner.fit(eps=EPS, **part.fit)
        accuracy = measure(learner.get_model(), part)
        refused = is_refused(learner, part)
        budget = remote_dataset.budget()
        print(budget)
    print(f"accuracy on the held-out part: {accuracy:.4f} (always saying the commonest label: {part.split.majority:.4f})")
    outcome = {
        "data": part.name,
        "accuracy": round(accuracy, 4),
        "majority": round(part.split.majority, 4),
        "epsilon_spent": budget.spent,
        "epsilon_remaining": budget.remaining,
        "refused": refused,
    }
    if options.outcome:
        options.outcome.write_text(json.dumps(outcome))


def measure(model: nn.Module, part: parts.Part) -> float:
    """The share of the held-out part that the model labels rightly, computed here."""
    model.eval()
    *inputs, labels = part.split.held_out.tensors
    right = 0
    with torch.no_grad():
        for start in range(0, len(labels), 64):
            logits = model(*(column[start : start + 64] for column in inputs))
            right += int((logits.argmax(-1) == labels[start : start + 64]).sum())
    return right / len(labels)


def is_refused(learner: object, part: parts.Part) -> bool:
    """Asks for more than is left. A second model is not needed: the budget belongs to the records."""
    try:
        learner.fit(eps=TOO_MUCH, **part.fit)  # type: ignore[attr-defined]
    except BudgetExceeded as refusal:
        print(f"refused, as it must be: {refusal}")
        return True
    return False


if __name__ == "__main__":
    main()
