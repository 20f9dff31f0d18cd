"""FinalNet with two blocks: stacks of factorized interactions, whose logits are averaged (SIGIR'23).

Paper: doi:10.1145/3539618.3591988. Left out: its distillation between the two blocks' logits, which is a loss and not a
network; its field gate; batch norms, where this space has layer norms (an option of each block, off here).
"""

from modules.operators import FactorizedProduct, Head, InputShape
from modules.space.architecture import Architecture, Block
from modules.space.handmade.blocks import BOTTOM, block


def finalnet(shape: InputShape, first: tuple[int, ...] = (400, 400), second: tuple[int, ...] = (400,)) -> Architecture:
    """Stacks of these widths; by default BARS's best for Frappe. The head's weights have the average's ½ in them."""
    stacks = (*_stack(first, 0), *_stack(second, len(first)))
    return Architecture(stacks, BOTTOM, Head((len(first), len(first) + len(second)), ()))


def _stack(widths: tuple[int, ...], after: int) -> tuple[Block, ...]:
    found: list[Block] = []
    for number, width in enumerate(widths, start=after):
        layer = FactorizedProduct(source="dense" if found else "stem", norm=False)
        found.append(block(layer, dense_width=width, dense_inputs=(number if found else 0,)))
    return tuple(found)
