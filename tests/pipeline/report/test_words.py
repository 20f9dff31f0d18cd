"""The report's sentences: honest about noise, about who is better, and about too few points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.report.run_records import RunRecords
from pipeline.report.words import (
    caveats,
    difference,
    headline,
    rank_agreement,
    ratio,
    significant,
)
from pipeline.run.records.results import Metrics, ModelKind, ModelResult, Results


def model(name: str, kind: ModelKind, log_loss: float, auc: float | None) -> ModelResult:
    """A model with the metrics that the headline reads."""
    metrics = Metrics(log_loss, auc, 0.8, 1.0, 1000)
    return ModelResult(name, kind, name.title(), None, None, 2_000_000, 500_000, metrics, metrics)


def results_of(*models: ModelResult, oracle: float | None = None) -> Results:
    """Results whose best model is the first."""
    return Results(models, models[0].name, oracle, 10_000, 1_000, 0.25)


def run_of(*models: ModelResult) -> RunRecords:
    """A run whose best model is the first."""
    return RunRecords("run", {}, (), {}, (), None, results_of(*models), None, None, None, ())


def test_small_differences_are_called_noise() -> None:
    """An AUC difference below .001 is said to be within seed noise, a larger one is not."""
    close = headline(run_of(model("found", "winner", 0.4500, 0.8005), model("dlrm", "baseline", 0.4503, 0.8000)))
    far = headline(run_of(model("found", "winner", 0.4500, 0.8040), model("dlrm", "baseline", 0.4540, 0.8000)))
    assert "0.0005 higher AUC, which is within seed noise" in close
    assert "0.0040 lower log loss and 0.0040 higher AUC" in far and "noise" not in far


def test_losing_is_said() -> None:
    """A found model that is worse than the best baseline is said to be worse, beside that baseline."""
    text = headline(
        run_of(
            model("found", "winner", 0.4600, 0.7900),
            model("deepfm", "baseline", 0.4700, 0.7850),
            model("dlrm", "baseline", 0.4500, 0.8000),
        )
    )
    assert "best baseline, Dlrm," in text and "0.0100 higher log loss and 0.0100 lower AUC" in text


def test_given_architectures_are_no_baselines() -> None:
    """A user's own architecture, however good, is not what the winner is compared with."""
    text = headline(
        run_of(
            model("found", "winner", 0.4600, 0.7900),
            model("mine", "given", 0.4000, 0.8500),
            model("dlrm", "baseline", 0.4500, 0.8000),
        )
    )
    assert "best baseline, Dlrm," in text and "Mine" not in text


def test_without_baselines() -> None:
    """Without a baseline nothing is compared."""
    assert "No baseline was trained" in headline(run_of(model("found", "winner", 0.45, 0.8)))


def test_the_best_possible_log_loss_is_told_when_known() -> None:
    """The distance to the planted model's log loss is told exactly when it is known."""
    models = model("found", "winner", 0.4500, 0.8), model("dlrm", "baseline", 0.4520, 0.799)
    known = caveats(results_of(*models, oracle=0.4400))
    assert "0.4400" in known[0] and "Found is +0.0100" in known[0] and "Dlrm +0.0120" in known[0]
    assert not any("best possible" in text for text in caveats(results_of(*models)))


@given(st.floats(1e-9, 1e12), st.integers(2, 6))
def test_significant_digits(value: float, digits: int) -> None:
    """The text has the value to half a unit of its last digit, and no exponent."""
    text = significant(value, digits)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))
    assert "e" not in text


@given(st.floats(-1, 1))
def test_difference_has_its_sign(value: float) -> None:
    """The sign is plus, a true minus, or ± for what rounds to nothing."""
    text = difference(value)
    assert float(text[1:]) == pytest.approx(abs(value), abs=0.5001e-4)
    assert (text[0] == "±") == (float(text[1:]) == 0)
    assert text[0] == "±" or (text[0] == "−") == (value < 0)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_ratio_names_the_cheaper(before: float, after: float) -> None:
    """Less when the cost falls, more when it rises, and the factor is at least 1."""
    text = ratio(before, after, "less", "more")
    if before == after:
        assert text == "the same"
    else:
        assert text.endswith("less" if after < before else "more")
        assert float(text.split("×")[0].replace(",", "")) >= 1


def test_rank_agreement_is_scipys() -> None:
    """Kendall and Spearman are scipy's, and few models are said to be weak evidence."""
    scores, losses = [0.1, 0.2, 0.3, 0.4], [1.0, 3.0, 2.0, 4.0]
    text = rank_agreement(scores, losses)
    assert f"Kendall τ {stats.kendalltau(scores, losses).statistic:.2f}" in text
    assert f"Spearman ρ {stats.spearmanr(scores, losses).statistic:.2f}" in text
    assert "weak evidence, 4 models" in text
    assert "weak" not in rank_agreement(list(range(12)), list(range(12)))
    assert "tie" in rank_agreement([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
