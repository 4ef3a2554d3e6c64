from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np

from graphc.datasets import load_digits


def test_shapes_dtypes_and_range() -> None:
    digits = load_digits()
    assert digits.train_images.shape == (4000, 784) and digits.train_images.dtype == np.float32
    assert digits.test_images.shape == (1000, 784) and digits.test_images.dtype == np.float32
    assert digits.train_labels.shape == (4000,) and digits.train_labels.dtype == np.int64
    assert digits.test_labels.shape == (1000,) and digits.test_labels.dtype == np.int64
    for images in (digits.train_images, digits.test_images):
        assert images.min() == 0.0 and images.max() == 1.0


def test_classes_are_balanced() -> None:
    digits = load_digits()
    assert np.bincount(digits.train_labels).tolist() == [400] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10


def test_no_image_is_in_both_parts() -> None:
    digits = load_digits()
    train = {image.tobytes() for image in digits.train_images}
    assert not any(image.tobytes() in train for image in digits.test_images)


def test_the_bytes_are_those_of_the_provenance_note() -> None:
    digits = load_digits()
    content = hashlib.sha256()
    for images, labels in (
        (digits.train_images, digits.train_labels),
        (digits.test_images, digits.test_labels),
    ):
        content.update(np.round(images * 255).astype(np.uint8).tobytes())
        content.update(labels.astype(np.uint8).tobytes())
    note = resources.files("graphc.datasets").joinpath("PROVENANCE.md").read_text(encoding="utf-8")
    assert content.hexdigest() in note


def test_the_caller_owns_the_arrays() -> None:
    first = load_digits()
    first.train_images[:] = 0.5
    assert load_digits().train_images.max() == 1.0
