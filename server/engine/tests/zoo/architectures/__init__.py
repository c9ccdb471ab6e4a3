"""Whole architectures by kind, and what is refused. docs/models.md is made of them."""

from zoo.architectures import decoders, encoders, images, networks, pixels, sequences, tables, tuning
from zoo.architectures.architecture import Architecture, Refused
from zoo.architectures.refused import REFUSED

GROUPS: dict[str, list[Architecture]] = {
    "Text encoders (transformers)": encoders.ARCHITECTURES,
    "Language models (transformers)": decoders.ARCHITECTURES,
    "Images and sounds (transformers)": pixels.ARCHITECTURES,
    "Images by hand": images.ARCHITECTURES,
    "Sequences": sequences.ARCHITECTURES,
    "Tables, sets and coordinates": tables.ARCHITECTURES,
    "Networks with a structure of their own": networks.ARCHITECTURES,
    "Parts of a model": tuning.ARCHITECTURES,
}
ARCHITECTURES = [architecture for group in GROUPS.values() for architecture in group]

__all__ = ["ARCHITECTURES", "GROUPS", "REFUSED", "Architecture", "Refused"]
