"""The name under which the first BastionLab kept its optimizers."""

from bastionlab.torch.optimizer import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW"]
