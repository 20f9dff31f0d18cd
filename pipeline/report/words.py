"""What the report says in words: numbers with their units, comparisons with honest wording."""

from scipy import stats

from pipeline.report.run_records import RunRecords
from pipeline.run.records.results import ModelResult, Results

SEED_NOISE = 0.001
"""AUC: differences below this need several seeds, which move it by about ±.0004 (docs/search_space.md)."""


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent.

    >>> significant(0.012345), significant(1234.5), significant(0), significant(12.3456)
    ('0.0123', '1,234', '0', '12.3')
    """
    if value == 0:
        return "0"
    magnitude = int(f"{abs(value):.{digits - 1}e}".split("e")[1])
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}"


def millions(count: int) -> str:
    """A count in millions: three decimals, or as many as a small one needs.

    >>> millions(1_924_312), millions(48)
    ('1.924', '0.000048')
    """
    return significant(count / 1e6, 2) if 0 < count < 10_000 else f"{count / 1e6:.3f}"


def difference(value: float) -> str:
    """A signed difference of log loss or AUC, with a true minus.

    >>> difference(-0.00123), difference(0.5), difference(-0.0000001)
    ('−0.0012', '+0.5000', '±0.0000')
    """
    text = f"{abs(value):.4f}"
    if float(text) == 0:
        return f"±{text}"
    return ("−" if value < 0 else "+") + text


def best_baseline(results: Results) -> ModelResult | None:
    """The baseline of least test log loss."""
    return min(results.of_kind("baseline"), key=lambda model: model.test.log_loss, default=None)


def headline(run: RunRecords) -> str:
    """One sentence: what was found, and how it compares."""
    if run.results is not None:
        return _found(run.results)
    if run.winners is not None:
        best, count = run.winners.winners[0], len(run.scored)
        return (
            f"The search has scored {count:,} architectures; the best has a validation log loss of {best.score:.4f} "
            "with the supernet's weights. Nothing is retrained yet, so nothing is compared yet."
        )
    if run.metrics:
        return (
            f"Training has begun ({run.metrics[-1].rows:,} rows of {run.metrics[-1].stage}); nothing is searched yet."
        )
    return "This run has not trained anything yet."


def _found(results: Results) -> str:
    best, baseline = results.best_model, best_baseline(results)
    text = f"{best.title} has a test log loss of {best.test.log_loss:.4f}"
    text += "" if best.test.auc is None else f" and an AUC of {best.test.auc:.4f}"
    if baseline is None:
        return f"{text}. No baseline was trained beside it."
    text += f"; the best baseline, {baseline.title}, has {baseline.test.log_loss:.4f}"
    text += "" if baseline.test.auc is None else f" and {baseline.test.auc:.4f}"
    text += f": {_compared(best, baseline)}"
    if baseline.multiply_accumulates:
        cost = best.multiply_accumulates / baseline.multiply_accumulates
        text += f", at {significant(cost, 2)} times its multiply-accumulates"
    return f"{text}."


def _compared(best: ModelResult, baseline: ModelResult) -> str:
    """Log loss and AUC of one model against another's, with what seeds alone may do."""
    loss = best.test.log_loss - baseline.test.log_loss
    text = f"{abs(loss):.4f} {'lower' if loss < 0 else 'higher'} log loss"
    if best.test.auc is None or baseline.test.auc is None:
        return f"{text} (no AUC: the test rows have one label only)"
    auc = best.test.auc - baseline.test.auc
    text += f" and {abs(auc):.4f} {'higher' if auc > 0 else 'lower'} AUC"
    return text if abs(auc) >= SEED_NOISE else f"{text}, which is within seed noise"


def caveats(results: Results) -> list[str]:
    """What a reader must know beside the headline."""
    found = []
    oracle, best, baseline = results.oracle_test_log_loss, results.best_model, best_baseline(results)
    if oracle is not None:
        text = (
            f"The best possible log loss on these test rows is {oracle:.4f} (the planted model's own): {best.title} is "
            f"{difference(best.test.log_loss - oracle)} from it"
        )
        if baseline is not None:
            text += f", {baseline.title} {difference(baseline.test.log_loss - oracle)}"
        found.append(text + ".")
    found.append(
        f"One seed, {results.test_rows:,} test rows: AUC differences below {SEED_NOISE} are within seed noise: to "
        "tell such models apart takes several seeds."
    )
    return found


def ratio(before: float, after: float, less: str, more: str) -> str:
    """How two positive costs compare.

    >>> ratio(150.0, 60.0, "less", "more"), ratio(10.0, 20.0, "smaller", "larger"), ratio(10.0, 10.0, "less", "more")
    ('2.50× less', '2.00× larger', 'the same')
    """
    if before <= 0 or after <= 0 or before == after:
        return "the same" if before == after else "not comparable"
    return f"{significant(max(before / after, after / before))}× {less if after < before else more}"


def rank_agreement(scores: list[float], losses: list[float]) -> str:
    """How well supernet scores rank retrained models: Kendall's τ-b and Spearman's ρ, said as weak when few.

    >>> rank_agreement([1.0, 2.0], [1.0, 2.0])
    '2 models: too few for a rank correlation.'
    """
    if len(scores) < 3:
        return f"{len(scores)} model{'s' * (len(scores) != 1)}: too few for a rank correlation."
    if len(set(scores)) == 1 or len(set(losses)) == 1:
        return f"All {len(scores)} models tie on one side: no rank correlation exists."
    kendall, spearman = stats.kendalltau(scores, losses), stats.spearmanr(scores, losses)
    text = f"Kendall τ {kendall.statistic:.2f} (p {kendall.pvalue:.2f}), Spearman ρ {spearman.statistic:.2f}"
    if len(scores) < 10:
        return f"{text}: weak evidence, {len(scores)} models only, and those were picked by the score."
    return f"{text}, {len(scores)} models."
