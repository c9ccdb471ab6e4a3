"""Text encoders of Hugging Face's transformers, with a head for sequences or tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, attention_mask, stirred, tokens
from zoo.case import Draw, ids

VOCABULARY, LENGTH = 29, 6
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 3,
}


class Logits(nn.Module):
    """The model called by position: ids and mask in, logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def pretrained(kind: str, task: str, config: dict[str, Any]) -> nn.Module:
    """With small random weights; transformers takes seconds to import, so only where a test asks for it."""
    import transformers

    made = getattr(transformers, f"{kind}Config")(**config)
    return stirred(getattr(transformers, f"{kind}{task}")(made)).train()


def encoder(kind: str, task: str = "ForSequenceClassification", **options: Any) -> Callable[[], nn.Module]:
    return lambda: Logits(pretrained(kind, task, SMALL | options))


DISTILBERT = {
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 24,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
}
MODERN_BERT = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "attention_dropout": 0.0,
    "embedding_dropout": 0.0,
    "mlp_dropout": 0.0,
    "classifier_dropout": 0.0,
}
DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
SHARED = "model.albert.encoder.albert_layer_groups.0.albert_layers.0"

TRACED = "transformers' forwards take **kwargs, which TorchScript's compiler does not read"
INPUTS = {"input_ids": ids(VOCABULARY, LENGTH), "attention_mask": attention_mask(LENGTH)}
PARTS = "embedding, layer_norm, linear"
CLASSES = ids(3)


def row(name: str, build: Callable[[], nn.Module], measured: str = PARTS, label: Draw = CLASSES, **more: Any) -> Architecture:
    return Architecture(name, build, INPUTS, label, "cross_entropy", ("trace",), measured=measured, only=TRACED, **more)


ARCHITECTURES = [
    row("DistilBERT", encoder("DistilBert", **DISTILBERT)),
    row("BERT, sequence classification", encoder("Bert")),
    row("BERT, token classification", encoder("Bert", "ForTokenClassification"), label=tokens(3, LENGTH), slow=True),
    row(
        "BERT, masked language model",
        encoder("Bert", "ForMaskedLM"),
        "embedding, embedding + linear (tied), layer_norm, linear",
        tokens(VOCABULARY, LENGTH),
        notable={"model.bert.embeddings.word_embeddings.weight": "embedding + linear (tied)"},
        remark="the output layer is the embedding",
    ),
    row("RoBERTa", encoder("Roberta", pad_token_id=1), slow=True),
    row("ELECTRA", encoder("Electra", embedding_size=8), slow=True),
    row(
        "ALBERT",
        encoder("Albert", embedding_size=8, classifier_dropout_prob=0.0),
        "embedding, layer_norm, layer_norm (tied), linear, linear (tied)",
        notable={f"{SHARED}.attention.query.weight": "linear (tied)", f"{SHARED}.ffn.bias": "linear (tied)"},
        remark="one layer's weights, used by all layers",
    ),
    row(
        "DeBERTa",
        encoder("Deberta", max_relative_positions=8, **DISENTANGLED),
        "embedding, expand, linear",
        notable={"model.deberta.encoder.rel_embeddings.weight": "expand"},
        remark="its LayerNorm is its own, so each record gets a copy of scale and shift",
        slow=True,
    ),
    row(
        "DeBERTa v2 and v3",
        encoder("DebertaV2", position_buckets=4, **DISENTANGLED),
        "embedding, expand, layer_norm, linear",
        notable={"model.deberta.encoder.rel_embeddings.weight": "expand"},
    ),
    row("ModernBERT", encoder("ModernBert", **MODERN_BERT), remark="layers with a sliding window among them", slow=True),
    row("MPNet", encoder("MPNet"), slow=True),
    row("FNet", encoder("FNet"), slow=True, remark="mixes tokens by a Fourier transform"),
    row("SqueezeBERT", encoder("SqueezeBert", embedding_size=16), "convolution, embedding, layer_norm, linear", slow=True),
    row(
        "MobileBERT",
        encoder("MobileBert", embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16),
        "embedding, expand, linear",
        slow=True,
    ),
    row("RoFormer", encoder("RoFormer", embedding_size=16), slow=True),
    row(
        "ConvBERT",
        encoder("ConvBert", embedding_size=16, classifier_dropout=0.0),
        "convolution, embedding, expand, layer_norm, linear",
        slow=True,
    ),
]
