"""An evaluation made up field by field, for what is said and drawn of one."""

from pipeline.run.records.evaluation import (
    CategoryField,
    Difference,
    EvaluatedModel,
    Group,
    Judged,
    JudgedFile,
    ModelEvaluation,
    NumberBin,
    NumberField,
    ReliabilityBin,
    StandardErrors,
    ValueGroup,
)
from pipeline.run.records.model_card import ModelFile
from pipeline.run.records.results import Metrics

TEST = Metrics(0.45, 0.78, 0.82, 1.01, 20_000)


def judged(log_loss: float, half: float = 0.002, test: Metrics | None = TEST, entropy: float | None = None) -> Judged:
    """1,000 rows with this log loss, its difference's interval so wide to either side."""
    metrics = Metrics(log_loss, 0.77, log_loss / 0.55 if entropy is None else entropy, 1.05, 1_000)
    differences = []
    for name in ("log_loss", "auc", "normalized_entropy", "calibration") if test is not None else ():
        here, there = getattr(metrics, name), getattr(test, name)
        differences.append(Difference(name, here, there, here - there, here - there - half, here - there + half))
    return Judged(metrics, StandardErrors(0.001, 0.002, 0.003, 0.004), 0.25, 0.2625, tuple(differences))


def group(rows: int, clicked: float, predicted: float, deviations: float) -> Group:
    """So many of 1,000 rows."""
    return Group(rows, rows / 1_000, clicked, predicted, 0.5, deviations)


def evaluation(
    hostile: str = "", files: tuple[float, ...] = (0.45, 0.47), test: Metrics | None = TEST
) -> ModelEvaluation:
    """An evaluation with two categories and a number; `hostile`: what every text of the log ends in."""
    user = CategoryField(
        f"user{hostile}",
        0.3,
        group(300, 0.2, 0.3, 9.0),
        group(50, 0.2, 0.2, 0.0),
        (
            ValueGroup(f"u1{hostile}", group(400, 0.25, 0.25, 0.1), 0.0, 0),
            ValueGroup("u2", group(200, 0.1, 0.2, 5.0), 1.0, 7),
        ),
        group(350, 0.3, 0.29, -0.3),
    )
    site = CategoryField("site", None, None, None, (ValueGroup("s", group(1_000, 0.25, 0.26, 1.0), None, 0),), None)
    price = NumberField(
        f"price{hostile}",
        group(100, 0.0, 0.06, 6.5),
        (NumberBin(0.0, 0.0, group(500, 0.2, 0.2, 0.0)), NumberBin(1.0, 12_000.0, group(400, 0.3, 0.31, 0.5))),
    )
    return ModelEvaluation(
        EvaluatedModel(f"runs/mine{hostile}/model.pt", ModelFile("model.pt", "ab" * 32, 10), test),
        f"logs/newer{hostile}",
        False,
        "",
        judged(0.46, test=test),
        0.0123,
        (ReliabilityBin(0.01, 0.2, 500, 0.1, 0.09), ReliabilityBin(0.21, 0.9, 500, 0.4, 0.41)),
        tuple(JudgedFile(f"logs/newer{hostile}/day_{n}.tsv", judged(loss, test=test)) for n, loss in enumerate(files)),
        (user, site),
        (price,),
    )
