"""What the README takes for granted: messages as token ids, and a small model in the shape of DistilBERT's classifier."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


class TinyEncoder(nn.Module):
    """Token ids and a mask to logits, with attention, dropout and layer norms."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 16)
        self.positions = nn.Embedding(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        x = self.layer(x, src_key_padding_mask=attention_mask == 0)
        return self.head(x[:, 0])


def messages(records: int = 300) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100, (records, 8), generator=generator)
    return TensorDataset(ids, torch.ones_like(ids), (ids[:, 0] > 50).long())


train_dataset = messages()
model = TinyEncoder()
