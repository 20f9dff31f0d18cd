"""A file of an export, before it is called exported: a fresh process without this project has to give the trained
model's probabilities, on rows of the test split, in batches of several sizes.

I dense inputs, C columns of ids, r rows.
"""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from modules.operators import LowBitLinear
from pipeline.data import Dataset
from pipeline.run.records.model_card import FileCheck
from pipeline.run.records.results import Metrics
from pipeline.serving.model_protocol import Exportable
from pipeline.serving.names import DensePrecision, ExportFiles, FileFormat, TablePrecision
from pipeline.serving.other_process import run_python
from pipeline.training.metrics import Evaluation

TABLE_TOLERANCE: dict[TablePrecision, float] = {"fp32": 1e-6, "int8": 0.05, "int4": 0.4}
"""Largest difference in probability to the trained model that tables of a precision may make (DECISIONS.md)."""
DENSE_TOLERANCE: dict[DensePrecision, float] = {"fp32": 0.0, "bf16": 0.05}
"""What a dense part of a precision may add to it."""
ROUNDED_OTHERWISE = 0.02
"""What a network whose operators have bits may add to it: where an operator in floating point stands before one with
bits, its sums, which have other last bits in a file, can put a number to the other side of a rounding boundary."""
TEST_ROWS = 65_536
"""Test rows on which a file is compared, at most."""
BATCH = 4096
"""Rows that the trained model is given at a time."""
RANDOM_ROWS = 512
"""Further ones, over each table's whole range, on which files without rounding are compared."""
_SERVER = """
import sys, warnings
import numpy
warnings.simplefilter("ignore")
kind, path, rows, answers, tables = sys.argv[1:]
dense, ids = (numpy.load(rows)[name] for name in ("dense", "ids"))
if kind == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    score = lambda dense, ids: session.run(["probability", "logit"], {"dense": dense, "ids": ids})
else:
    import torch
    torch.set_grad_enabled(False)
    if kind == "pt2":
        run = torch._inductor.aoti_load_package(path)
    else:
        loaded = torch.jit.load(path, map_location="cpu")
        if tables:
            loaded.map_tables(tables)
        run = lambda dense, ids: (loaded(dense, ids), loaded.logit(dense, ids))
    score = lambda dense, ids: [one.numpy() for one in run(torch.from_numpy(dense), torch.from_numpy(ids))]
found, first = [], 0
for size in (1, 2, 3, 7, *[1024] * len(ids)):
    if first < len(ids):
        found.append(score(dense[first : first + size], ids[first : first + size]))
    first += size
assert not {"torchrec", "modules", "pipeline"} & set(sys.modules)
numpy.savez(answers, *(numpy.concatenate([one[part] for one in found]) for part in range(2)))
"""


@dataclass(frozen=True)
class LabelledRows:
    """Rows of the test split, as the model is fed with them."""

    dense: Tensor
    """[r, I] float32."""
    ids: Tensor
    """[r, C] int64."""
    label: Tensor
    """[r]."""
    weight: Tensor | None = None
    """[r], above 0; None where all rows count the same. No model reads it: it is for the figures."""


def rows_of_the_test_split(dataset: Dataset) -> LabelledRows | None:
    """Its first TEST_ROWS rows; None where there are none."""
    found, rows = list[tuple[Tensor, ...]](), min(TEST_ROWS, dataset.rows("test"))
    if not rows:
        return None
    with dataset.stream("test", min(BATCH, rows), drop_last=False) as stream:
        for batch in itertools.islice(stream, -(-rows // BATCH)):
            weight = () if batch.weight is None else (batch.weight.clone(),)
            ids = batch.padded_ids(dataset.schema.id_places).clone()
            found.append((batch.dense.clone(), ids, batch.label.clone(), *weight))
    return LabelledRows(*(torch.cat(parts)[:rows] for parts in zip(*found, strict=True)))


def tolerance_of(wanted: ExportFiles, has_bits: bool = False) -> float:
    """Largest difference in probability to the trained model that files of this precision may have."""
    return TABLE_TOLERANCE[wanted.tables] + DENSE_TOLERANCE[wanted.dense] + ROUNDED_OTHERWISE * has_bits


def check_file(
    path: Path,
    kind: FileFormat,
    wanted: ExportFiles,
    trained: Exportable,
    rows: LabelledRows | None,
    tables: Path | None = None,
) -> FileCheck:
    """What a fresh process makes of the rows, beside what the trained model makes of them. `tables`: the file that the
    model's tables are mapped from.

    Files without rounding are compared on random rows too, and all are where there are no rows. RuntimeError where the
    difference is larger than the tolerance, or the logit is not the probability's.
    """
    dense, ids = random_rows(trained)
    own = 0 if rows is None else len(rows.ids)
    if rows is not None and own:
        is_exact = (wanted.tables, wanted.dense) == ("fp32", "fp32")
        dense = torch.cat([rows.dense, dense] if is_exact else [rows.dense])
        ids = torch.cat([rows.ids, ids] if is_exact else [rows.ids])
    with torch.no_grad():
        expected = torch.cat([trained.logit(*part) for part in zip(dense.split(BATCH), ids.split(BATCH), strict=True)])
    probability, logit = _answers(path, kind, dense, ids, tables)
    difference = float((probability.double() - expected.sigmoid().double()).abs().max())
    has_bits = isinstance(trained, nn.Module) and any(isinstance(one, LowBitLinear) for one in trained.modules())
    apart, tolerance = float((probability - logit.sigmoid()).abs().max()), tolerance_of(wanted, has_bits)
    if not (difference <= tolerance and apart <= TABLE_TOLERANCE["fp32"]):  # NaN is a difference too
        raise RuntimeError(
            f"{path}: probabilities differ by {difference} from the trained model's (up to {tolerance} is allowed) and "
            f"by {apart} from their logits; nothing was written"
        )
    if rows is None or not own:
        return FileCheck(0, tolerance, difference, 0.0, None)
    found, before = (_metrics(logits[:own], rows) for logits in (logit, expected))
    auc = None if found.auc is None or before.auc is None else found.auc - before.auc
    return FileCheck(own, tolerance, difference, found.log_loss - before.log_loss, auc)


def random_rows(model: Exportable) -> tuple[Tensor, Tensor]:
    """Dense inputs [r, I] and ids [r, C], among them each table's first and last row."""
    generator = torch.Generator().manual_seed(0)
    dense = 4 * torch.rand(RANDOM_ROWS, model.integers, generator=generator)
    shares = torch.rand(RANDOM_ROWS, len(model.id_fields), generator=generator, dtype=torch.float64)
    shares[0], shares[1] = 0.0, 1.0 - 2**-53
    ids = (shares * model.table_rows[model.id_fields]).long()
    absent = torch.rand(ids.shape, generator=generator) < 0.5
    return dense, torch.where(absent & (model.lowest_ids < 0), -1, ids)


def _answers(path: Path, kind: FileFormat, dense: Tensor, ids: Tensor, tables: Path | None) -> tuple[Tensor, Tensor]:
    """Probability [r] and logit [r] that a fresh process gets from the file."""
    with tempfile.TemporaryDirectory() as folder:
        rows, answers = f"{folder}/rows.npz", f"{folder}/answers.npz"
        numpy.savez(rows, dense=dense.numpy(), ids=ids.numpy())
        run_python(
            ["-P", "-c", _SERVER, kind, str(path), rows, answers, "" if tables is None else str(tables)],
            {"OMP_NUM_THREADS": "1"},
            f"loading {path.name} with torch alone",
        )
        with numpy.load(answers) as found:
            return torch.from_numpy(found["arr_0"]), torch.from_numpy(found["arr_1"])


def _metrics(logits: Tensor, rows: LabelledRows) -> Metrics:
    found = Evaluation()
    found.add(logits, rows.label, rows.weight)
    return found.own_metrics()
