"""The search spaces: NASRec's two (arXiv:2207.07187, table 1) and `open`; and the check that a value is in one."""

import dataclasses
import math
from dataclasses import dataclass

from modules.operators import (
    FLOAT,
    NO_STEM,
    PRECISIONS,
    Attention,
    BilinearFusion,
    CompressedInteraction,
    Cross,
    DenseToSparse,
    DotProduct,
    EmbeddedFullyConnected,
    FactorizationMachine,
    FactorizedProduct,
    FieldDotProduct,
    FieldProduct,
    FullyConnected,
    InteractingAttention,
    MaskBlock,
    Operator,
    PairProducts,
    Precision,
    SigmoidGating,
    SparseToDense,
    Stem,
    StemShape,
    Sum,
    WideFullyConnected,
)
from modules.space.architecture import Architecture, Block
from modules.space.liveness import reads_of
from modules.space.names import PrecisionName, SpaceName

MERGERS = ("dense_to_sparse", "sparse_to_dense")
DENSE_TO_SPARSE, SPARSE_TO_DENSE = DenseToSparse(), SparseToDense()
CONNECTIONS = ("dense_inputs", "sparse_inputs", "left", "right")


@dataclass(frozen=True)
class SearchSpace:
    """The options of one choice block, and how many blocks there are."""

    name: str
    """Name used on command lines and in files."""
    dense_operators: tuple[Operator, ...]
    """Dense operators to choose from."""
    sparse_operators: tuple[Operator, ...]
    """Sparse operators to choose from."""
    dense_to_sparse: Operator | None = DENSE_TO_SPARSE
    """The merger from the dense to the sparse output that a block may have, or none."""
    sparse_to_dense: Operator | None = SPARSE_TO_DENSE
    """The merger from the sparse to the dense output that a block may have, or none."""
    dense_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 768, 1024)
    """Dense widths d, ascending."""
    sparse_widths: tuple[int, ...] = (16, 32, 48, 64)
    """Sparse widths n (vectors), ascending."""
    num_blocks: int = 7
    """Choice blocks N, at least 1; where their number is a choice, the most."""
    fewest_blocks: int | None = None
    """Fewest choice blocks, at least 1; None where there are always `num_blocks`."""
    stems: tuple[Stem, ...] = (NO_STEM,)
    """Stems to choose from, each once."""
    free_head: bool = False
    """Whether the head may read any outputs, stems included; else it reads both of the last block's."""
    max_inputs: int = 4
    """Most outputs that a block's dense (or sparse) inputs may join, at least 1."""
    precisions: tuple[Precision | None, ...] = (FLOAT,)
    """The bits that the operators and mergers of a block may have, each once."""

    def __post_init__(self) -> None:
        for field in ("num_blocks", "max_inputs"):
            if getattr(self, field) < 1:
                raise ValueError(f"SearchSpace.{field} is {getattr(self, field)}; it must be at least 1")
        for field in ("dense_widths", "sparse_widths"):
            widths = getattr(self, field)
            if not widths or list(widths) != sorted(set(widths)) or widths[0] < 1:
                raise ValueError(f"SearchSpace.{field} is {widths}; give positive widths, ascending, each once")
        if self.fewest_blocks is not None and not 1 <= self.fewest_blocks <= self.num_blocks:
            raise ValueError(f"SearchSpace.fewest_blocks is {self.fewest_blocks}; num_blocks is {self.num_blocks}")
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise ValueError(f"SearchSpace.stems is {self.stems}; give at least one stem, each once")
        if not self.precisions or len(set(self.precisions)) != len(self.precisions):
            raise ValueError(f"SearchSpace.precisions is {self.precisions}; give at least one, each once")
        for branch in ("dense", "sparse"):
            self._check_operators(f"{branch}_operators", getattr(self, f"{branch}_operators"), branch)
        for branch in MERGERS:
            if getattr(self, branch) is not None:
                self._check_operators(branch, (getattr(self, branch),), branch)

    @property
    def depths(self) -> range:
        """The numbers of blocks that an architecture may have."""
        return range(self.fewest_blocks or self.num_blocks, self.num_blocks + 1)

    def _check_operators(self, field: str, operators: tuple[Operator, ...], branch: str) -> None:
        names = [operator.name for operator in operators]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"SearchSpace.{field} has {names}; give at least one operator, each name once")
        for operator in operators:
            if operator != operator.with_options(operator.defaults()):
                raise ValueError(f"SearchSpace.{field} has {operator!r}; list it with its options' defaults")
            if operator.branch != branch:
                raise ValueError(f"SearchSpace.{field} has {operator.name!r}, which makes {operator.branch!r}")

    def check(self, architecture: Architecture) -> None:
        """Raise ValueError, naming block and field, unless the search may propose this architecture."""
        self.check_path(architecture)
        for number, block in enumerate(architecture.blocks, start=1):
            for field in ("dense_operators", "sparse_operators"):
                if len(getattr(block, field)) > 1:
                    raise ValueError(
                        f"block {number}, {field}: {_names(getattr(block, field))}; "
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
        if len(architecture.blocks) not in self.depths:
            numbers = f"{self.depths[0]} to {self.depths[-1]}" if len(self.depths) > 1 else self.num_blocks
            raise ValueError(f"blocks: {len(architecture.blocks)}; {self.name} has {numbers}")
        if architecture.stem not in self.stems:
            stems = [stem.to_json() for stem in self.stems]
            raise ValueError(f"stem: {architecture.stem.to_json()} is not in {self.name}; it has {stems}")
        if not self.free_head and architecture.logit != architecture.default_head:
            raise ValueError(f"head: {architecture.head}; in {self.name} it reads both outputs of the last block")
        for number, block in enumerate(architecture.blocks, start=1):
            for field in ("dense_operators", "sparse_operators"):
                options, own = getattr(self, field), getattr(block, field)
                if not own:
                    raise ValueError(f"block {number}, {field}: []; give at least one of {_names(options)}")
                for operator in own:
                    self._check_option(f"block {number}, {field}", operator, options)
            for field in MERGERS:
                if getattr(block, field) is not None:
                    self._check_option(f"block {number}, {field}", getattr(block, field), (getattr(self, field),))
            for operator in block.operators():
                precision = block.precision.of(operator.branch)
                if precision not in self.precisions:
                    found, known = (precision or "float", [str(own or "float") for own in self.precisions])
                    raise ValueError(
                        f"block {number}, precision, {operator.branch}: {found} is not in {self.name}; it has {known}"
                    )
            for field, widths in (("dense_width", self.dense_widths), ("sparse_width", self.sparse_widths)):
                if getattr(block, field) not in widths:
                    raise ValueError(
                        f"block {number}, {field}: {getattr(block, field)} is outside {self.name}; "
                        f"it has {list(widths)}"
                    )

    def _check_option(self, where: str, operator: Operator, options: tuple[Operator | None, ...]) -> None:
        known = {option.name: option for option in options if option is not None}
        own = known.get(operator.name)
        if own is None or type(operator) is not type(own) or (operator != own and not own.options):
            raise ValueError(f"{where}: {operator.name!r} is not in {self.name}; it has {list(known)}")
        if not operator.is_variant_of(own):
            choices = {name: list(values) for name, values in operator.options.items()}
            raise ValueError(f"{where}: {operator!r} is not in {self.name}; its options are {choices}")

    def size(self) -> int:
        """Number of architectures that `check` accepts (of any embedding width).

        >>> f"{float(NASREC_SMALL.size()):.0e} {float(NASREC_FULL.size()):.0e}"
        '5e+39 8e+43'
        >>> f"{float(with_bits(NASREC_FULL).size()):.0e}"
        '2e+68'
        """
        return sum(
            len(self.stems)
            * math.prod(self._block_size(number) for number in range(1, depth + 1))
            * (4 ** (depth + 1) - 1 if self.free_head else 1)
            for depth in self.depths
        )

    def _block_size(self, outputs: int) -> int:
        subsets = sum(math.comb(outputs, count) for count in range(1, min(outputs, self.max_inputs) + 1))
        operators = math.prod(
            sum(math.prod(map(len, operator.options.values())) for operator in choices)
            for choices in (self.dense_operators, self.sparse_operators)
        )
        widths = len(self.dense_widths) * len(self.sparse_widths)
        bits = len(self.precisions)
        mergers = (1 + bits) ** sum(getattr(self, field) is not None for field in MERGERS)
        return operators * bits**2 * widths * subsets**2 * outputs**2 * mergers

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
            dense_to_sparse=self.dense_to_sparse,
            sparse_to_dense=self.sparse_to_dense,
        )

    @property
    def connections(self) -> tuple[str, ...]:
        """The fields of `Block` that choose what is read and that some operator of this space follows.

        >>> NASREC_SMALL.connections
        ('dense_inputs', 'sparse_inputs')
        """
        block = self.widest_block(1)
        followed = {read.choice for read in reads_of(block, block.operators())}
        return tuple(field for field in CONNECTIONS if field in followed)


def with_bits(space: SearchSpace, is_float_too: bool = True) -> SearchSpace:
    """The space with bits as a choice of every operator and merger; floating point is one, too, or not."""
    return dataclasses.replace(space, precisions=(FLOAT, *PRECISIONS) if is_float_too else PRECISIONS)


def summable(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Those whose output is as wide as their block says; the others' widths are their own."""
    block = Block((), (), 1, 1, (0,), (0,), 0, 0, None, None)
    wider, shape = dataclasses.replace(block, dense_width=2, sparse_width=2), StemShape(1, 1, 1)
    return tuple(own for own in operators if (own.width(block, shape), own.width(wider, shape)) == (1, 2))


def _names(operators: tuple[Operator, ...]) -> list[str]:
    return [operator.name for operator in operators]


NASREC_SMALL = SearchSpace(
    "nasrec_small",
    dense_operators=(FullyConnected(), DotProduct()),
    sparse_operators=(EmbeddedFullyConnected(),),
)
"""NASRec-Small, `autoctr` in the authors' code."""

NASREC_FULL = dataclasses.replace(
    NASREC_SMALL,
    name="nasrec_full",
    dense_operators=(FullyConnected(), DotProduct(), SigmoidGating(), Sum()),
    sparse_operators=(EmbeddedFullyConnected(), Attention()),
)
"""NASRec-Full, `xlarge` in the authors' code."""

OPEN = SearchSpace(
    "open",
    dense_operators=(
        WideFullyConnected(),
        FieldDotProduct(),
        PairProducts(),
        FactorizedProduct(),
        MaskBlock(),
        BilinearFusion(),
        FactorizationMachine(),
        SigmoidGating(),
        Sum(),
    ),
    sparse_operators=(
        EmbeddedFullyConnected(),
        Attention(),
        Cross(),
        FieldProduct(),
        CompressedInteraction(),
        InteractingAttention(),
    ),
    dense_widths=(16, 32, 64, 128, 256, 400, 512),
    sparse_widths=(8, 16, 32, 48),
    fewest_blocks=1,
    stems=(
        NO_STEM,
        *(Stem((), n, "none") for n in (1, 2, 4)),
        *(Stem((), n) for n in (1, 2, 4)),
        *(Stem((128,), n) for n in (1, 2, 4)),
        Stem((512, 256, 64), 1),
    ),
    free_head=True,
)
"""This project's own: NASRec's operators and those that hand-made models are made of (docs/search_space.md)."""

SPACES = {space.name: space for space in (NASREC_SMALL, NASREC_FULL, OPEN)}


def space_of(name: SpaceName, precision: PrecisionName) -> SearchSpace:
    """The space that a run searches."""
    return with_bits(SPACES[name]) if precision == "mixed" else SPACES[name]
