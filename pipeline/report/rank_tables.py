"""The rank study as a table: every score with its cost and how it ranks."""

from pipeline.report.tables import ABSENT, Row, Table
from pipeline.run.records.rank_study import Estimate, RankStudy

_HEADS = ("score", "CPU-seconds", "Kendall's τ", "95 %", "Spearman's ρ", "regret of the top 3", "of the first")


def rank_study_table(study: RankStudy) -> Table:
    """Scores from the cheapest to training on all rows, with another seed, last; the best τ of the scores is marked."""
    best = max(one.ranking.kendall_tau.value for one in study.scores)
    rows = [
        Row(
            (
                one.title,
                f"{one.cpu_s:.2f}",
                f"{one.ranking.kendall_tau.value:.2f}",
                _interval(one.ranking.kendall_tau),
                f"{one.ranking.spearman.value:.2f}",
                f"{one.ranking.top3_regret.value:.5f}",
                f"{one.ranking.top1_regret.value:.5f}",
            ),
            best=frozenset({2}) if one.ranking.kendall_tau.value == best else frozenset(),
        )
        for one in study.scores
    ]
    if study.scratch_tau is not None:
        again = (f"{study.scratch_cpu_s:.2f}", f"{study.scratch_tau.value:.2f}", _interval(study.scratch_tau))
        rows.append(Row(("from scratch on all rows, one seed against another", *again, ABSENT, ABSENT, ABSENT)))
    caption = (
        f"{len(study.networks)} networks, the mean of {len(study.networks[0].losses)} trainings of each on all rows as "
        f"the truth ({study.recipe.in_words()}). Intervals by resampling networks; regret in nats per row."
    )
    return Table("rank-study", "How well scores rank", _HEADS, tuple(rows), caption)


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.2f} … {estimate.high:.2f}"
