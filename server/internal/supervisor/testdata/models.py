"""Writes the TorchScript archives beside it, which the tests of the real trainer load. Run it again when torch's pin changes."""

import pathlib

import torch


class Words(torch.nn.Module):
    """A little of everything: an embedding, a convolution, attention, a norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 16)
        self.convolution = torch.nn.Conv1d(16, 16, 3, padding=1)
        self.norm = torch.nn.LayerNorm(16)
        self.query = torch.nn.Linear(16, 16)
        self.key = torch.nn.Linear(16, 16)
        self.value = torch.nn.Linear(16, 16)
        self.dropout = torch.nn.Dropout(0.1)
        self.classifier = torch.nn.Linear(16, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        words = self.embedding(tokens)
        words = self.norm(words + self.convolution(words.transpose(1, 2)).transpose(1, 2))
        scores = torch.softmax(self.query(words) @ self.key(words).transpose(1, 2) / 4.0, dim=-1)
        return self.classifier(self.dropout(scores @ self.value(words)).mean(dim=1))


class Normalised(torch.nn.Module):
    """What cannot be trained privately: statistics over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(4, 8)
        self.statistics = torch.nn.BatchNorm1d(8)
        self.classifier = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.statistics(self.hidden(x)))


def save(model: torch.nn.Module, example: torch.Tensor, name: str) -> None:
    model.train()
    traced = torch.jit.trace(model, example, check_trace=False)
    torch.jit.save(traced, str(pathlib.Path(__file__).parent / name))


if __name__ == "__main__":
    torch.manual_seed(0)
    save(torch.nn.Linear(4, 2), torch.zeros(1, 4), "linear.pt")
    save(Words(), torch.zeros(1, 12, dtype=torch.int64), "words.pt")
    save(Normalised(), torch.zeros(2, 4), "batchnorm.pt")
