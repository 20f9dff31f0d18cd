"""DLRM: the integers' vector joined with all pairs' inner products, then an MLP (arXiv:1906.00091)."""

from modules.operators import FieldDotProduct, Head, InputShape, Stem
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import tower


def dlrm(
    shape: InputShape, bottom: tuple[int, ...] = (512, 256, 64), top: tuple[int, ...] = (512, 256)
) -> Architecture:
    """By default the sizes that its authors published for Criteo's Kaggle log."""
    return Architecture(tower(top, FieldDotProduct(norm=False)), Stem(bottom, 1), Head((len(top),), ()))
