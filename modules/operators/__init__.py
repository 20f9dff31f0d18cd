"""The operators of choice blocks, one file each, and what an operator is (operator.py, step.py, inputs.py).

Nothing outside this package names an operator, except where the operators of a search space are listed.
"""

from modules.operators.attention import Attention
from modules.operators.bilinear_fusion import BilinearFusion
from modules.operators.compressed_interaction import CompressedInteraction
from modules.operators.cross import Cross
from modules.operators.dense_to_sparse import DenseToSparse
from modules.operators.dot_product import DotProduct
from modules.operators.efc import EmbeddedFullyConnected
from modules.operators.factorization_machine import FactorizationMachine
from modules.operators.factorized_product import FactorizedProduct
from modules.operators.fc import FullyConnected
from modules.operators.field_dot_product import FieldDotProduct
from modules.operators.field_product import FieldProduct
from modules.operators.field_projections import STEP_SHARE, FieldProjections
from modules.operators.head import Head
from modules.operators.inputs import STEM_READS, Columns, Inputs, InputShape, Read, Slot, StemShape
from modules.operators.interacting_attention import InteractingAttention
from modules.operators.layers import Layer, Linear, Norm
from modules.operators.low_bit import LowBitLinear
from modules.operators.mask_block import MaskBlock
from modules.operators.operator import Branch, Choices, Operator, Outline, build
from modules.operators.pair_products import PairProducts
from modules.operators.precision import BITS, FLOAT, PRECISIONS, Precision
from modules.operators.sigmoid_gating import SigmoidGating
from modules.operators.sparse_to_dense import SparseToDense
from modules.operators.stem import NO_STEM, Stem
from modules.operators.step import ComputedProduct, LayerNorm, Matrix, Step, check_steps
from modules.operators.sum import Sum
from modules.operators.wide_fc import WideFullyConnected

__all__ = [
    "BITS",
    "FLOAT",
    "NO_STEM",
    "PRECISIONS",
    "STEM_READS",
    "STEP_SHARE",
    "Attention",
    "BilinearFusion",
    "Branch",
    "Choices",
    "Columns",
    "CompressedInteraction",
    "ComputedProduct",
    "Cross",
    "DenseToSparse",
    "DotProduct",
    "EmbeddedFullyConnected",
    "FactorizationMachine",
    "FactorizedProduct",
    "FieldDotProduct",
    "FieldProduct",
    "FieldProjections",
    "FullyConnected",
    "Head",
    "InputShape",
    "Inputs",
    "InteractingAttention",
    "Layer",
    "LayerNorm",
    "Linear",
    "LowBitLinear",
    "MaskBlock",
    "Matrix",
    "Norm",
    "Operator",
    "Outline",
    "PairProducts",
    "Precision",
    "Read",
    "SigmoidGating",
    "Slot",
    "SparseToDense",
    "Stem",
    "StemShape",
    "Step",
    "Sum",
    "WideFullyConnected",
    "build",
    "check_steps",
]
