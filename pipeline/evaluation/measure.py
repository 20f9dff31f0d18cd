"""One pass over a newer log: every row scored by the exported model and summed, overall, by file and by field."""

from collections.abc import Iterator
from contextlib import closing

import numpy
import numpy.typing as npt
import torch

from pipeline.data.stream.background import Background
from pipeline.evaluation.config import GroupConfig
from pipeline.evaluation.exported import Exported
from pipeline.evaluation.groups import CategorySums, NumberSums, row_sums
from pipeline.evaluation.intervals import judge
from pipeline.evaluation.log import NewerLog, Piece
from pipeline.evaluation.reliability import reliability
from pipeline.run.records.evaluation import EvaluatedModel, JudgedFile, ModelEvaluation
from pipeline.run.records.results import Metrics
from pipeline.training.metrics import Evaluation


def measure(export: Exported, log: NewerLog, path: str, config: GroupConfig) -> ModelEvaluation:
    """The evaluation of all rows of the log, whose data.path is `path`.

    Memory: a few units of the log, 12 bytes a row (24 with weights; exact AUC and deciles), and the sums of `groups`.
    Raises ValueError for bad rows, for answers that are not finite, and for rows of one label only.
    """
    test = None if export.card.metrics is None else export.card.metrics.test
    schema = export.schema
    rows, fields = Evaluation(), _Fields(export)
    files = _Files(test)
    for piece in _read_ahead(log):
        logits = _logits(export, piece, config.batch_size)
        weight = None if piece.weight is None else torch.from_numpy(piece.weight)
        for own in (rows, files.of(piece.file)):
            own.add(torch.from_numpy(logits), torch.from_numpy(piece.label), weight)
        fields.add(piece, row_sums(logits, piece.label, piece.weight))
    clicked, not_clicked = rows.sorted_logits()
    if not len(clicked) or not len(not_clicked):
        raise ValueError(
            f"{path}: the label, column {schema.label!r} of the model, is {int(len(clicked) > 0)} in each of its "
            f"{log.rows:,} rows, by which no model can be judged; give rows of both labels"
        )
    bins, calibration_error = reliability(clicked, not_clicked)
    return ModelEvaluation(
        model=EvaluatedModel(str(export.path), export.card.model, test),
        log=path,
        is_prepared=log.is_prepared,
        weight=log.weight,
        overall=judge(rows, test),
        expected_calibration_error=calibration_error,
        reliability=bins,
        files=files.judged(),
        categories=tuple(one.field(config.values) for one in fields.categories),
        numbers=tuple(one.field(config.bins) for one in fields.numbers),
    )


def _read_ahead(log: NewerLog) -> Iterator[Piece]:
    """The pieces, the next one being read while one is scored."""
    with closing(Background(log.pieces(), depth=1)) as pieces:
        for _ in range(log.units):
            yield next(pieces)


def _logits(export: Exported, piece: Piece, batch_size: int) -> npt.NDArray[numpy.float32]:
    """The model's logits of a piece [n]."""
    batches = range(0, len(piece.label), batch_size)
    dense, ids = torch.from_numpy(piece.dense), torch.from_numpy(piece.ids)
    return torch.cat([export.logits(dense[at : at + batch_size], ids[at : at + batch_size]) for at in batches]).numpy()


class _Files:
    """The log's files judged one after the other; only one's logits are held."""

    def __init__(self, test: Metrics | None) -> None:
        self._test, self._name, self._rows = test, "", Evaluation()
        self._judged: list[JudgedFile] = []

    def of(self, file: str) -> Evaluation:
        """What a file's rows are added to; those of one file come together."""
        if file != self._name:
            self._close()
            self._name, self._rows = file, Evaluation()
        return self._rows

    def _close(self) -> None:
        if self._name:
            self._judged.append(JudgedFile(self._name, judge(self._rows, self._test)))

    def judged(self) -> tuple[JudgedFile, ...]:
        """All files."""
        self._close()
        self._name = ""
        return tuple(self._judged)


class _Fields:
    """The sums of every column."""

    def __init__(self, export: Exported) -> None:
        schema = export.schema
        self.categories = [
            CategorySums(
                column,
                column in schema.hours,
                column in export.vocabularies,
                list_values=places if column in schema.lists else None,
            )
            for column, places in zip(schema.categories, schema.id_places, strict=True)
        ]
        self.numbers = [NumberSums(column, column in schema.floats) for column in schema.numbers]
        self._names = schema.categories

    def add(self, piece: Piece, sums: npt.NDArray[numpy.float64]) -> None:
        """A piece's rows."""
        for name, own in zip(self._names, self.categories, strict=True):
            own.add(piece.values[name], piece.missing[name], piece.unknown.get(name), sums)
        for place, number in enumerate(self.numbers):
            number.add(numpy.ascontiguousarray(piece.dense[:, place]), sums)
