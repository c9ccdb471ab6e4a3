"""Writes the model that smoke.c trains: one of every kind of layer that libtorch may start lazily."""

import sys

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.GELU(), nn.MaxPool2d(2), nn.Flatten())
        self.steps = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8 * 16 + 8, 3)

    def forward(self, image: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:  # [1, 3, 8, 8], [1, 5]
        words = self.steps(self.attention(self.tokens(tokens)))[0]  # [1, 5, 8]
        return self.head(torch.cat([self.image(image), words.mean(1)], 1))  # [1, 3]


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    model = Model()
    torch.jit.trace(model, (torch.zeros(1, 3, 8, 8), torch.zeros(1, 5, dtype=torch.long)), check_trace=False).save(sys.argv[1])
