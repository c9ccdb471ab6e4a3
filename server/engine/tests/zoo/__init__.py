"""Tiny honest models, one or more of every kind of layer."""

from zoo import attention, convolution, embedding, linear, mutation, normalisation, parameters
from zoo.case import Case

CASES: list[Case] = [
    *linear.CASES,
    *convolution.CASES,
    *embedding.CASES,
    *normalisation.CASES,
    *parameters.CASES,
    *attention.CASES,
    *mutation.CASES,
]

__all__ = ["CASES", "Case"]
