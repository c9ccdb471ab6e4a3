"""Language models of Hugging Face's transformers, trained on the loss of every token, and encoders with decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, tokens
from zoo.architectures.encoders import LENGTH, PARTS, TRACED, VOCABULARY, pretrained
from zoo.case import Draw, ids

SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "use_cache": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}


class LanguageModel(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, use_cache=False).logits


class Translator(nn.Module):
    """A record holds the source and the target shifted by one; the label is the target."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, decoder_input_ids=decoder_input_ids, use_cache=False).logits


def decoder(kind: str, task: str = "ForCausalLM", **options: Any) -> Callable[[], nn.Module]:
    return lambda: LanguageModel(pretrained(kind, task, SMALL | options))


def translator(kind: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: Translator(pretrained(kind, "ForConditionalGeneration", {"vocab_size": VOCABULARY} | options))


def bloom() -> nn.Module:
    model = decoder("Bloom", n_layer=2, n_head=2, hidden_dropout=0.0, attention_dropout=0.0)()
    for part in list(model.modules()):
        for name, child in part.named_children():
            if type(child).__name__ == "BloomGelu":
                setattr(part, name, nn.GELU(approximate="tanh"))
    return model


GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 12}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
NEO = {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 3}
T5 = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
    "dropout_rate": 0.0,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 10,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
}
BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 12,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}

INPUTS = {"input_ids": ids(VOCABULARY, LENGTH)}
PAIR = {"input_ids": ids(VOCABULARY, LENGTH), "decoder_input_ids": ids(VOCABULARY, 4)}
TIED = "embedding + linear (tied)"


def row(
    name: str,
    build: Callable[[], nn.Module],
    measured: str,
    tied: str = "",
    inputs: dict[str, Draw] = INPUTS,
    length: int = LENGTH,
    **more: Any,
) -> Architecture:
    notable = {tied: TIED} if tied else {}
    return Architecture(
        name,
        build,
        inputs,
        tokens(VOCABULARY, length),
        "cross_entropy",
        ("trace",),
        measured=measured,
        only=TRACED,
        notable=notable | more.pop("notable", {}),
        **more,
    )


EMBEDDING = "model.model.embed_tokens.weight"
RMS = "RMSNorm written out in Python: each record gets a copy of its scale"

ARCHITECTURES = [
    row(
        "GPT-2",
        decoder("GPT2", "LMHeadModel", **GPT2, **NO_DROPOUT),
        f"embedding, {TIED}, layer_norm, linear",
        "model.transformer.wte.weight",
        remark="the output layer is the embedding",
    ),
    row(
        "OPT",
        decoder("OPT", ffn_dim=24, word_embed_proj_dim=16, dropout=0.0, attention_dropout=0.0, pad_token_id=1),
        f"embedding, {TIED}, layer_norm, linear",
        "model.model.decoder.embed_tokens.weight",
        slow=True,
    ),
    row("GPT-NeoX", decoder("GPTNeoX", attention_dropout=0.0, hidden_dropout=0.0), PARTS, remark="rotary positions", slow=True),
    row(
        "Llama",
        decoder("Llama", num_key_value_heads=2),
        "embedding, expand, linear",
        notable={"model.model.norm.weight": "expand"},
        remark=RMS,
    ),
    row(
        "Qwen2",
        decoder("Qwen2", num_key_value_heads=2, tie_word_embeddings=True),
        f"{TIED}, expand, linear",
        EMBEDDING,
        remark="Llama with tied embeddings",
        slow=True,
    ),
    row("Mistral", decoder("Mistral", num_key_value_heads=2, sliding_window=3), "embedding, expand, linear", slow=True),
    row("Gemma", decoder("Gemma", num_key_value_heads=1, head_dim=4), f"{TIED}, expand, linear", EMBEDDING, slow=True),
    row(
        "BLOOM",
        bloom,
        f"{TIED}, layer_norm, linear",
        "model.transformer.word_embeddings.weight",
        remark='with `nn.GELU(approximate="tanh")` for its `BloomGelu`, an autograd function in Python, which is not saved',
        slow=True,
    ),
    row(
        "T5",
        translator("T5", **T5),
        f"embedding, {TIED}, expand, linear",
        "model.shared.weight",
        PAIR,
        4,
        remark="one record holds source and shifted target",
    ),
    row(
        "BART",
        translator("Bart", **BART),
        f"embedding, {TIED}, layer_norm, linear",
        "model.model.shared.weight",
        PAIR,
        4,
        slow=True,
    ),
    row(
        "Falcon",
        decoder("Falcon", hidden_dropout=0.0, attention_dropout=0.0),
        f"{TIED}, expand, layer_norm",
        "model.transformer.word_embeddings.weight",
        notable={"model.transformer.h.0.mlp.dense_h_to_4h.weight": "expand"},
        slow=True,
        remark="multiplies by `weight.T` itself instead of `F.linear`: each record gets a copy of each weight, which costs memory",
    ),
    row("Phi", decoder("Phi", attention_dropout=0.0, resid_pdrop=0.0, embd_pdrop=0.0), PARTS, slow=True),
    row("GPT-J", decoder("GPTJ", rotary_dim=4, **GPT2, **NO_DROPOUT), PARTS, slow=True),
    row(
        "GPT-Neo",
        decoder("GPTNeo", resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0, **NEO),
        f"embedding, {TIED}, layer_norm, linear",
        "model.transformer.wte.weight",
        slow=True,
    ),
    row("Qwen3", decoder("Qwen3", num_key_value_heads=2, head_dim=4), "embedding, expand, linear", slow=True),
    row("Gemma 2", decoder("Gemma2", num_key_value_heads=2, head_dim=4), f"{TIED}, expand, linear", EMBEDDING, slow=True),
    row("OLMo", decoder("Olmo"), "embedding, linear", slow=True),
    row(
        "Mixtral",
        decoder("Mixtral", num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, experts_implementation="batched_mm"),
        "embedding, expand, linear",
        slow=True,
        remark='with `experts_implementation="batched_mm"`; the other ways sort tokens by expert, which is refused',
    ),
    row("Mamba", decoder("Mamba", state_size=4, conv_kernel=3), f"{TIED}, expand, linear", slow=True),
    row("RWKV", decoder("Rwkv", attention_hidden_size=16, context_length=12), "embedding, expand, layer_norm, linear", slow=True),
]
