"""The sampler of the noise: each integer is the one that exact arithmetic gives for the word; how far double precision is off."""

from __future__ import annotations

import ctypes
import os
import random

import mpmath
import numpy as np
import pytest
from scipy import stats

import abi
from engine import Engine

mpmath.mp.prec = 300
SIGN = 1 << 63
COARSE = 1 << 52


def tail(z: mpmath.mpf) -> mpmath.mpf:
    return mpmath.erfc(z / mpmath.sqrt(2)) / 2


def exact_normal(p: mpmath.mpf) -> mpmath.mpf:
    """The z whose one-sided tail probability is p, by Newton's method."""
    z = mpmath.sqrt(-2 * mpmath.log(p)) if p < 0.1 else (mpmath.mpf(1) / 2 - p) * mpmath.sqrt(2 * mpmath.pi)
    for _ in range(80):
        step = (tail(z) - p) / (mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi))
        z += step
        if abs(step) < mpmath.mpf(2) ** -250:
            return z
    raise AssertionError("does not converge")


def probability(magnitude: int, more: int) -> mpmath.mpf:
    return (mpmath.mpf(magnitude) + (mpmath.mpf(more) + mpmath.mpf(1) / 2) / 2**64) / 2**64


def magnitudes(count: int) -> list[int]:
    """Over the whole range, evenly in the probability and evenly in its logarithm."""
    source = random.Random(7)
    even = [source.randrange(1 << 63) for _ in range(count)]
    small = [min((1 << 63) - 1, int(2 ** source.uniform(1, 63))) for _ in range(count)]
    return even + small + [0, 1, COARSE - 1, COARSE, (1 << 63) - 1, (1 << 63) - 2]


def test_double_precision_is_off_by_less_than_half_of_what_is_allowed(engine: Engine) -> None:
    """Allowed is 2^-49 (1 + |z|); words below 2^52 are given more bits before they are rounded."""
    worst = mpmath.mpf(0)
    for magnitude in magnitudes(3000):
        if magnitude < COARSE:
            continue
        z = exact_normal((mpmath.mpf(magnitude) + mpmath.mpf(1) / 2) / 2**64)
        worst = max(worst, abs(engine.library.bl_testing_normal(magnitude) - z) / (1 + z))
    assert worst < 2.0**-53 * 8, mpmath.log(worst, 2)


@pytest.mark.parametrize("stddev", [0.3, 1.0, 2.0**20, 1.7 * 2**29, 2.0**41, 2.0**46])
def test_a_rounded_number_is_the_exact_ones(engine: Engine, stddev: float) -> None:
    source = random.Random(11)
    for magnitude in magnitudes(150):
        more = source.randrange(1 << 64)
        want = int(mpmath.nint(exact_normal(probability(magnitude, more)) * stddev))
        assert engine.library.bl_testing_rounded_normal(magnitude, more, stddev) == want
        assert engine.library.bl_testing_rounded_normal(magnitude | SIGN, more, stddev) == -want


@pytest.mark.parametrize("stddev", [1.0, 2.0**20, 1.7 * 2**29, 2.0**41])
def test_one_part_in_2_to_the_92_decides_at_a_boundary(engine: Engine, stddev: float) -> None:
    """The probabilities on both sides of a boundary between two integers: the first 64 bits are the same, as is every double."""
    source = random.Random(13)
    for _ in range(60):
        below = int(stddev * source.uniform(0, 7 if stddev > 8 else 2))
        boundary = tail((mpmath.mpf(below) + mpmath.mpf(1) / 2) / mpmath.mpf(stddev))
        bits = int(mpmath.floor(boundary * mpmath.mpf(2) ** 128))
        # 2^-92 of it to either side: within the 113 bits, far beyond a double.
        for offset, want in (((bits >> 92) + 2, below), (-(bits >> 92) - 2, below + 1)):
            magnitude, more = divmod(bits + offset, 1 << 64)
            assert engine.library.bl_testing_rounded_normal(magnitude, more, stddev) == want


def test_words_are_signs_and_probabilities_and_open_ones_take_from_a_reserve(engine: Engine) -> None:
    """Fed with chosen words: what comes out is each word's number, and nothing else is asked for."""
    source = random.Random(17)
    words = [source.randrange(1 << 64) for _ in range(10_000)] + [5, 5 | SIGN]
    reserve = [source.randrange(1 << 64) for _ in range(64)]
    asked: list[int] = []

    def fill(_context: int | None, out: object, count: int) -> None:
        asked.append(count)
        chosen = words if len(asked) == 1 else reserve
        ctypes.memmove(out, b"".join(word.to_bytes(8, "little") for word in chosen), count)

    numbers, error, stddev = (ctypes.c_int64 * len(words))(), abi.Error(), 2.0**30
    status = engine.library.bl_testing_noise(stddev, numbers, len(words), abi.RANDOM(fill), None, ctypes.byref(error))
    assert status == 0
    assert asked == [8 * len(words), 8 * 64]
    for word, number in list(zip(words, numbers, strict=True))[-1500:-2]:
        z = exact_normal(probability(word % SIGN, 1 << 63))
        assert abs(abs(number) - z * stddev) < 1 + stddev * 2.0**-40, word
        assert (number < 0) == (word >= SIGN) or number == 0
    # The last two needed more bits, and got different ones.
    assert numbers[-2] > 0 > numbers[-1]
    assert numbers[-2] != -numbers[-1]


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2**18 - 1, 2**18, 2**18 + 1, 2**19, 2**19 + 777])
def test_every_number_is_that_of_a_word_of_its_own(engine: Engine, count: int) -> None:
    """Around the sizes of what is rounded and what is fetched at once: the words' numbers in the words' order, none left out."""
    source, stddev = random.Random(19), 2.0**30
    words: list[int] = []

    def fill(_context: int | None, out: object, size: int) -> None:
        given = bytes(size)  # the further words are zeros
        if size != 8 * 64:
            given = source.randbytes(size)
            words.extend(np.frombuffer(given, dtype=np.uint64).tolist())
        ctypes.memmove(out, given, size)

    numbers, error = np.full(count + 1, 7, dtype=np.int64), abi.Error()
    pointer = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
    assert engine.library.bl_testing_noise(stddev, pointer, count, abi.RANDOM(fill), None, ctypes.byref(error)) == 0
    assert len(words) == count
    rounded = engine.library.bl_testing_rounded_normal
    assert numbers.tolist() == [rounded(word, 0, stddev) for word in words] + [7]


DRAWS = 10**7
# A right sampler fails a test at this level once in a million runs.
LEVEL = 1e-6


def draw(engine: Engine, stddev: float, count: int = DRAWS) -> np.ndarray:
    numbers = np.zeros(count, dtype=np.int64)
    pointer, error = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)), abi.Error()

    def fill(_context: int | None, out: object, size: int) -> None:
        ctypes.memmove(out, os.urandom(size), size)

    assert engine.library.bl_testing_noise(stddev, pointer, count, abi.RANDOM(fill), None, ctypes.byref(error)) == 0
    return numbers


def test_ten_million_coarse_numbers_are_as_frequent_as_stated(engine: Engine) -> None:
    """Chi-squared over every integer that is expected at least ten times."""
    stddev = 3.3
    numbers = draw(engine, stddev)
    reach = int(stddev * 4.5)
    edges = np.arange(-reach, reach + 2) - 0.5
    expected = DRAWS * np.diff(stats.norm.cdf(edges / stddev))
    seen = np.array([(numbers == n).sum() for n in range(-reach, reach + 1)])
    assert expected.min() > 10
    rest = (DRAWS - expected.sum(), DRAWS - seen.sum())
    statistic = float(((seen - expected) ** 2 / expected).sum() + (rest[1] - rest[0]) ** 2 / rest[0])
    assert stats.chi2.sf(statistic, len(expected)) > LEVEL


def test_ten_million_fine_numbers_are_normal(engine: Engine) -> None:
    """Kolmogorov-Smirnov, the variance to a tenth of a per cent, the tails, and no memory from one number or call to the next."""
    stddev = 1.3 * 2.0**29
    z, again = draw(engine, stddev) / stddev, draw(engine, stddev) / stddev
    assert stats.kstest(z, "norm").pvalue > LEVEL
    assert abs(z.var() - 1) < min(1e-3, 5 * (2 / DRAWS) ** 0.5)
    assert abs(z.mean()) * DRAWS**0.5 < 5
    for bound in (3.0, 4.0, 5.0):
        expected = DRAWS * stats.norm.sf(bound)
        for count in (int((z > bound).sum()), int((z < -bound).sum())):
            assert stats.poisson.cdf(count, expected) > LEVEL
            assert stats.poisson.sf(count - 1, expected) > LEVEL
    for one, other in ((z, again), (z[1:], z[:-1]), (z[1024:], z[:-1024]), (z[2**18 :], z[: -(2**18)]), (z**2 - 1, again**2 - 1)):
        scale = float(one.std() * other.std())
        assert abs(float((one * other).mean())) / scale * len(one) ** 0.5 < 5.5
    # The lowest bits of a grid of 2^-29 are even coins.
    assert stats.binomtest(int((np.abs(draw(engine, stddev, 10**6)) & 1).sum()), 10**6).pvalue > LEVEL
