"""The two search spaces of NASRec (arXiv:2207.07187, table 1; search_space.md) and the check that a value is in one."""

import dataclasses
import math
from dataclasses import dataclass

from modules.space.architecture import BINARY_OPERATORS, Architecture, Block


@dataclass(frozen=True)
class SearchSpace:
    """The options of one choice block, and how many blocks there are."""

    name: str
    """Name used on command lines and in files."""
    dense_operators: tuple[str, ...]
    """Dense operators to choose from."""
    sparse_operators: tuple[str, ...]
    """Sparse operators to choose from."""
    dense_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 768, 1024)
    """Dense widths d, ascending."""
    sparse_widths: tuple[int, ...] = (16, 32, 48, 64)
    """Sparse widths n (vectors), ascending."""
    num_blocks: int = 7
    """Choice blocks N, at least 1."""
    max_inputs: int = 4
    """Most outputs that a block's dense (or sparse) inputs may join, at least 1."""

    def __post_init__(self) -> None:
        for field in ("num_blocks", "max_inputs"):
            if getattr(self, field) < 1:
                raise ValueError(f"SearchSpace.{field} is {getattr(self, field)}; it must be at least 1")
        for field in ("dense_widths", "sparse_widths"):
            widths = getattr(self, field)
            if not widths or list(widths) != sorted(set(widths)) or widths[0] < 1:
                raise ValueError(f"SearchSpace.{field} is {widths}; give positive widths, ascending, each once")

    def check(self, architecture: Architecture) -> None:
        """Raise ValueError, naming block and field, unless the search may propose this architecture."""
        self.check_path(architecture)
        for number, block in enumerate(architecture.blocks, start=1):
            for field, most in (("dense_operators", 1), ("sparse_operators", 1)):
                if len(getattr(block, field)) > most:
                    raise ValueError(
                        f"block {number}, {field}: {list(getattr(block, field))}; "
                        f"a searched architecture has one (several are for training paths only)"
                    )
            for field in ("dense_inputs", "sparse_inputs"):
                if len(getattr(block, field)) > self.max_inputs:
                    raise ValueError(
                        f"block {number}, {field}: {len(getattr(block, field))} inputs; "
                        f"{self.name} joins at most {self.max_inputs}"
                    )

    def check_path(self, architecture: Architecture) -> None:
        """Raise ValueError, naming block and field, unless the supernet of this space holds the architecture."""
        if len(architecture.blocks) != self.num_blocks:
            raise ValueError(f"blocks: {len(architecture.blocks)}; {self.name} has {self.num_blocks}")
        for number, block in enumerate(architecture.blocks, start=1):
            for field, options in (
                ("dense_operators", self.dense_operators),
                ("sparse_operators", self.sparse_operators),
            ):
                for operator in getattr(block, field):
                    if operator not in options:
                        raise ValueError(
                            f"block {number}, {field}: {operator!r} is not in {self.name}; it has {list(options)}"
                        )
            for field, widths in (("dense_width", self.dense_widths), ("sparse_width", self.sparse_widths)):
                if getattr(block, field) not in widths:
                    raise ValueError(
                        f"block {number}, {field}: {getattr(block, field)} is outside {self.name}; "
                        f"it has {list(widths)}"
                    )

    def size(self) -> int:
        """Number of architectures that `check` accepts.

        >>> f"{float(NASREC_SMALL.size()):.0e} {float(NASREC_FULL.size()):.0e}"
        '5e+39 8e+43'
        """
        return math.prod(self._block_size(number) for number in range(1, self.num_blocks + 1))

    def _block_size(self, outputs: int) -> int:
        subsets = sum(math.comb(outputs, count) for count in range(1, min(outputs, self.max_inputs) + 1))
        operators = len(self.dense_operators) * len(self.sparse_operators)
        return operators * len(self.dense_widths) * len(self.sparse_widths) * subsets**2 * outputs**2 * 4

    def widest_block(self, number: int) -> Block:
        """Block `number` (from 1) with everything on: all operators, all inputs, largest widths."""
        everything = tuple(range(number))
        return Block(
            dense_operators=self.dense_operators,
            sparse_operators=self.sparse_operators,
            dense_width=self.dense_widths[-1],
            sparse_width=self.sparse_widths[-1],
            dense_inputs=everything,
            sparse_inputs=everything,
            left=number - 1,
            right=number - 1,
            dense_to_sparse=True,
            sparse_to_dense=True,
        )

    @property
    def has_binary_operators(self) -> bool:
        """Whether `left` and `right` mean anything in this space."""
        return any(operator in BINARY_OPERATORS for operator in self.dense_operators)


NASREC_SMALL = SearchSpace("nasrec_small", dense_operators=("fc", "dot_product"), sparse_operators=("efc",))
"""NASRec-Small, `autoctr` in the authors' code."""

NASREC_FULL = dataclasses.replace(
    NASREC_SMALL,
    name="nasrec_full",
    dense_operators=("fc", "dot_product", "sigmoid_gating", "sum"),
    sparse_operators=("efc", "attention"),
)
"""NASRec-Full, `xlarge` in the authors' code."""

SPACES = {space.name: space for space in (NASREC_SMALL, NASREC_FULL)}
