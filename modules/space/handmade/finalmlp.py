"""FinalMLP: two MLPs on the stem, joined by bilinear fusion (arXiv:2304.00902).

Without contexts its gates are constant weights of the stem's numbers, which the first layers have in them; gates with
a user's or an item's fields as contexts need to know which fields those are, and are left out.
"""

from modules.operators import BilinearFusion, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, block, tower


def finalmlp(
    shape: InputShape, first: tuple[int, ...] = (400,), second: tuple[int, ...] = (128,), heads: int = 4
) -> Architecture:
    """MLPs of these widths; by default nearly BARS's best for Frappe (400 and 100 wide, 5 heads).

    The head reads the fusion's one number; its weight of 1 is the paper's.
    """
    left, right = len(first), len(first) + len(second)
    streams = (*tower(first), *tower(second, after=left))
    fusion = block(BilinearFusion(heads), left=left, right=right)
    return Architecture((*streams, fusion), BOTTOM, Head((right + 1,), ()))
