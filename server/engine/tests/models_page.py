"""docs/models.md, made of the table that the tests hold: run this file to write it anew."""

from __future__ import annotations

from pathlib import Path

from archive import FORMS
from zoo.architectures import ARCHITECTURES, GROUPS, REFUSED, Architecture, Refused

PAGE = Path(__file__).resolve().parents[3] / "docs" / "models.md"

HEAD = """\
# Which models can be trained

A model that does not mix records is taken as it is. This page is the table of `server/engine/tests/zoo/architectures`, which
`make test-all` holds the engine to: {count} architectures in small sizes, each on records of which some are clipped and some are
not. The clipped sum is compared with that of one ordinary PyTorch pass per record, to 1e-4 of its norm in float32 and 1e-10 in
float64. For a model of your own, `remote_learner.check()` says for nothing what the server makes of it; with `device="cuda"` ask
`remote_learner.plan()`, for a [GPU](gpu.md) takes fewer operators.

**Forms.** The client tries `torch.jit.script` first and `torch.jit.trace` then; the table says which of the two work.

**Measured as** is what the capability report says of the trainable parameters: here, all that occurs in the model.

| word | how a record's gradient is kept |
|---|---|
| `linear`, `convolution` | as two factors, the layer's input and its output's gradient; nothing of the weight's size |
| `embedding` | as the rows that the record looked up |
| `layer_norm`, `group_norm`, `batch_norm` | written out: as large as scale and shift |
| `expand` | each record of a pass has a copy of the parameter: memory for the parameter times the records of a pass |
| `... (tied)` | used in several places; the norm is that of the sum over all uses |
| `unused` | the output does not depend on it; it gets noise all the same |

A weight that is used otherwise than by a layer or its function is `expand`, and right, but costs memory: write
`F.linear(x, weight)` instead of `x @ weight.T` where the weight is large.

**Dropout** and other randomness are drawn for each record by itself, and those operators run one record at a time. A model that is
in evaluation mode as a whole, as `from_pretrained` gives it, is put into training mode; call `model.train()` and then `.eval()` on
the layers that should not draw. The comparisons are made with every dropout at zero.

**BatchNorm** must go or stand still, for its statistics mix records:

```python
def without_batch_norm(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.modules.batchnorm._BatchNorm):
            setattr(module, name, torch.nn.GroupNorm(min(32, child.num_features), child.num_features))
        else:
            without_batch_norm(child)
```

The number of groups must divide the number of channels. To keep pretrained statistics instead: `model.train()`, then `.eval()` on
each BatchNorm.
"""


def forms(architecture: Architecture) -> str:
    if architecture.forms == FORMS:
        return "scripted, traced"
    return "traced" if architecture.forms == ("trace",) else "scripted"


def measured(architecture: Architecture) -> str:
    return ", ".join(f"`{how}`" for how in architecture.measured.split(", "))


def row(architecture: Architecture) -> str:
    return f"| {architecture.name} | {forms(architecture)} | {measured(architecture)} | {architecture.remark} |"


def refusal(refused: Refused) -> str:
    see = f" (see {refused.see})" if refused.see else ""
    return f"| {refused.name} | `{refused.operator}` | {refused.instead}{see} |"


def page() -> str:
    lines = [HEAD.format(count=len(ARCHITECTURES))]
    for title, group in GROUPS.items():
        lines += [f"## {title}", "", "| architecture | forms | measured as | remarks |", "|---|---|---|---|", *map(row, group), ""]
        for reason in sorted({a.only for a in group if a.only}):
            lines += [f"Traced only: {reason}.", ""]
    lines += ["## What is refused, and what to do instead", ""]
    lines += ["| model | refused at | instead |", "|---|---|---|", *map(refusal, REFUSED), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
