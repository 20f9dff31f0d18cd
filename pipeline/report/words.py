"""What the report says in words: what was found and by how much it wins, and numbers with their units."""

import statistics
from collections.abc import Callable

from scipy import stats

from pipeline.report.run_records import RunRecords
from pipeline.run.records.results import Comparison, ModelResult, Results
from pipeline.run.records.trees import Trees


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


def by_weight(column: str) -> str:
    """What figures of a log with weights are.

    >>> by_weight("worth")
    "Rows count by their weights (column 'worth') in every mean, share, AUC and interval."
    """
    return f"Rows count by their weights (column {column!r}) in every mean, share, AUC and interval."


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "seed"), counted(1200, "trial")
    ('1 seed', '1,200 trials')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def interval(comparison: Comparison) -> str:
    """The 95 % interval of the best model's log loss less the other's."""
    return f"{difference(comparison.low)} to {difference(comparison.high)}"


def holds_zero(comparison: Comparison) -> bool:
    """Whether the two models cannot be told apart by the interval."""
    return comparison.low <= 0 <= comparison.high


def deviation(model: ModelResult) -> float | None:
    """Standard deviation of the test log loss over the model's seeds; None with one seed."""
    losses = [seed.test.log_loss for seed in model.seeds]
    return statistics.stdev(losses) if len(losses) > 1 else None


def gap_closed(results: Results) -> float | None:
    """Share of the way from the best hand-made model to the best possible test log loss that the best model covers.

    Negative where it is worse on the test rows. None where the best possible is not known, or is not below the best
    hand-made model, or that model is the best itself.
    """
    handmade, oracle = results.best_handmade, results.oracle_test_log_loss
    if handmade is None or oracle is None or handmade is results.best_model or handmade.test.log_loss <= oracle:
        return None
    return (handmade.test.log_loss - results.best_model.test.log_loss) / (handmade.test.log_loss - oracle)


def best_searched(results: Results) -> ModelResult | None:
    """The searched model with the least mean validation log loss."""
    return min(results.of_kind("searched"), key=lambda model: model.valid.log_loss, default=None)


def headline(run: RunRecords) -> str:
    """What was found and how it compares, in a sentence or two."""
    if run.results is not None:
        return _found(run.results)
    if run.race is not None:
        leader = min(run.race.finalists, key=lambda finalist: finalist.valid_log_loss)
        return (
            f"The race has ended after {counted(run.race.trials, 'training')} from scratch; {leader.name} leads with a "
            f"validation log loss of {leader.valid_log_loss:.4f}. No finalist is trained to the end and tested yet."
        )
    if run.winners is not None:
        best, count = run.winners.winners[0], len(run.scored)
        return (
            f"The search has scored {count:,} architectures; the best has a validation log loss of {best.score:.4f} "
            "with the supernet's weights. Nothing is trained from scratch yet, so nothing is compared yet."
        )
    if run.metrics:
        return (
            f"Training has begun ({run.metrics[-1].rows:,} rows of {run.metrics[-1].stage}); nothing is searched yet."
        )
    return "This run has not trained anything yet."


def _found(results: Results) -> str:
    best = results.best_model
    rival = best_searched(results) if best.kind == "handmade" else results.best_handmade
    text = f"{best.title} has a test log loss of {best.test.log_loss:.4f} ({counted(len(best.seeds), 'seed')})"
    if best.kind == "handmade":
        if rival is None:
            return f"A hand-made model won; no searched model was trained to the end. {text}."
        return f"A hand-made model won: the search found nothing better. {text}, {_against(results, rival)}."
    if rival is None:
        return f"{_name_of_kind(best)} won; no hand-made model was trained beside it. {text}."
    return f"{_opening(best, results.comparison(rival))} {text}, {_against(results, rival)}."


def _name_of_kind(best: ModelResult) -> str:
    return "An architecture found by the search" if best.kind == "searched" else "An architecture given as a file"


def _opening(best: ModelResult, comparison: Comparison | None) -> str:
    """Who won, as plainly as the interval allows."""
    if comparison is not None and comparison.low > 0:
        return f"{_name_of_kind(best)} won on validation rows, but on test rows the best hand-made model is better:"
    if comparison is None or holds_zero(comparison):
        return f"{_name_of_kind(best)} won, but it cannot be told from the best hand-made model:"
    if best.kind == "given":
        return "An architecture given as a file is better than any hand-made model:"
    return "The search found a better model than any made by hand:"


def _against(results: Results, rival: ModelResult) -> str:
    """The best model's test log loss beside the rival's, with its interval."""
    comparison = results.comparison(rival)
    what = "the best hand-made model" if rival.kind == "handmade" else "the best of the search"
    loss = results.best_model.test.log_loss - rival.test.log_loss if comparison is None else comparison.difference
    text = f"{abs(loss):.4f} {'lower' if loss < 0 else 'higher'} than {rival.title}, {what}"
    if comparison is None:
        return f"{text} (the interval of the difference is not known)"
    if holds_zero(comparison):
        return f"{text}: within the interval of zero (95 %: {interval(comparison)})"
    return f"{text} (95 % interval of the difference: {interval(comparison)})"


def details(results: Results, trees: Trees | None = None) -> list[str]:
    """What a reader must know beside the headline: seeds, origin and recipe, cost, what trees give, what is possible,
    what judges."""
    beside = [] if trees is None else [_beside_trees(results.best_model, trees)]
    return [_seeds(results.best_model), _cost(results), *beside, *_possible(results), _judged(results)]


def _beside_trees(best: ModelResult, trees: Trees) -> str:
    """What gradient-boosted trees give on the same rows, plainly where that is more."""
    less = trees.test.log_loss < best.test.log_loss
    difference = (
        f"{abs(trees.test.log_loss - best.test.log_loss):.4f} {'lower' if less else 'higher'} than {best.title}"
    )
    text = f"Gradient-boosted trees (LightGBM, {trees.trees} of them) have {trees.test.log_loss:.4f} on the test rows"
    return f"{text}, {difference}" + (": this log does not need a network." if less else ".")


def _seeds(best: ModelResult) -> str:
    spread = deviation(best)
    if spread is None:
        seeds = f"{best.title} was trained with one seed."
    else:
        seeds = (
            f"{best.title}'s {len(best.seeds)} seeds have a test log loss of {best.test.log_loss:.4f} ± {spread:.4f} "
            f"(standard deviation); the average of their logits has {best.ensemble.test.log_loss:.4f}."
        )
    return f"{seeds} Its architecture: {best.origin}. Its recipe: {best.recipe.in_words()}."


def _cost(results: Results) -> str:
    """Compute, tables and training of the best model, in brackets the best hand-made model's where that is another."""
    best, handmade = results.best_model, results.best_handmade
    other = None if handmade is best else handmade

    def both(text: Callable[[ModelResult], str]) -> str:
        return text(best) if other is None else f"{text(best)} ({text(other)})"

    costs = (
        f"Per row it takes {both(lambda model: millions(model.multiply_accumulates))} million multiply-accumulates and "
        f"reads {both(lambda model: f'{model.lookup_bytes:,}')} bytes of "
        f"{both(lambda model: significant(model.table_bytes / 1e6))} MB of embedding tables; the race spent "
        f"{both(lambda model: f'{model.trials:,}')} trials and {both(lambda model: f'{model.rows:,}')} rows on it"
    )
    return f"{costs}." if other is None else f"{costs} (in brackets: {other.title})."


def _possible(results: Results) -> list[str]:
    oracle, best, closed = results.oracle_test_log_loss, results.best_model, gap_closed(results)
    if oracle is None:
        return []
    text = f"The best possible log loss on these test rows is {oracle:.4f} (the planted model's own): "
    if closed is None or results.best_handmade is None:
        return [f"{text}{best.title} is {difference(best.test.log_loss - oracle)} from it."]
    return [f"{text}{best.title} closes {percent(closed)} of the gap between {results.best_handmade.title} and it."]


def percent(share: float) -> str:
    """A share in percent with a true minus.

    >>> percent(0.1234), percent(-0.02)
    ('12.3 %', '−2.0 %')
    """
    return f"{share * 100:.1f} %".replace("-", "−")


def _judged(results: Results) -> str:
    seeds = {len(model.seeds) for model in results.models}
    rows = f"{results.test_rows:,} test rows"
    text = "Models are chosen on validation rows; test rows only judge. "
    text += "They have one label only, so there is no AUC. " if results.best_model.test.auc is None else ""
    if len(results.models) == 1:
        return f"{text}There are {rows}."
    if seeds == {1}:
        return f"{text}Intervals are over {rows} alone: with one seed each, the luck of the seed is not in them."
    return f"{text}Intervals are over {rows} and the models' seeds."


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
        return f"{counted(len(scores), 'model')}: too few for a rank correlation."
    if len(set(scores)) == 1 or len(set(losses)) == 1:
        return f"All {len(scores)} models tie on one side: no rank correlation exists."
    kendall, spearman = stats.kendalltau(scores, losses), stats.spearmanr(scores, losses)
    text = f"Kendall τ {kendall.statistic:.2f} (p {kendall.pvalue:.2f}), Spearman ρ {spearman.statistic:.2f}"
    if len(scores) < 10:
        return f"{text}: weak evidence, {len(scores)} models only, and those were picked by the score."
    return f"{text}, {len(scores)} models."
