"""The large figures at the top of the page: log loss, what it costs in compute, tables and training, and the chip."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.report.words import (
    best_searched,
    counted,
    difference,
    gap_closed,
    interval,
    millions,
    percent,
    ratio,
    significant,
)
from pipeline.run.records.codesign import Codesign
from pipeline.run.records.results import Metrics, ModelResult, Results


@dataclass(frozen=True)
class Card:
    """One of the large figures at the top."""

    name: str
    value: str
    unit: str
    note: str


def all_cards(results: Results | None, codesign: Codesign | None) -> list[Card]:
    """The cards of what there is."""
    cards = [] if results is None else [*_quality(results), *_costs(results)]
    return cards if codesign is None else [*cards, *_chip(codesign)]


def _quality(results: Results) -> list[Card]:
    """Log loss, the average of the seeds, the gap closed, AUC."""
    best, rival = results.best_model, _rival(results)
    comparison = None if rival is None else results.comparison(rival)
    note = _beside(best, rival, lambda metrics: metrics.log_loss)
    note += "" if comparison is None else f" (95 %: {interval(comparison)})"
    cards = [Card("Test log loss", f"{best.test.log_loss:.4f}", "nats", note)]
    if len(best.seeds) > 1:
        ensemble = best.ensemble.test.log_loss
        cards.append(Card("Seeds averaged", f"{ensemble:.4f}", "nats", f"mean logit of {len(best.seeds)} seeds"))
    closed = gap_closed(results)
    if closed is not None and results.best_handmade is not None:
        cards.append(
            Card("Gap closed", percent(closed), "", f"from {results.best_handmade.title} to the best possible")
        )
    auc = "–" if best.test.auc is None else f"{best.test.auc:.4f}"
    return [*cards, Card("AUC", auc, "", _beside(best, rival, lambda metrics: metrics.auc))]


def _costs(results: Results) -> list[Card]:
    """Compute, tables and training of the best model."""
    best = results.best_model
    return [
        Card("Compute", millions(best.multiply_accumulates), "MMACs", "million multiply-accumulates per row"),
        Card("Embedding tables", significant(best.table_bytes / 1e6), "MB", f"a row reads {best.lookup_bytes:,} bytes"),
        Card("Race", f"{best.trials:,}", "trial" + "s" * (best.trials != 1), f"{best.rows:,} rows spent on it"),
    ]


def _chip(codesign: Codesign) -> list[Card]:
    """Energy and latency of the chosen mapping."""
    naive, chosen = codesign.naive, codesign.chosen
    energy = ratio(naive.energy_nj, chosen.energy_nj, "less", "more")
    latency = ratio(naive.latency_us, chosen.latency_us, "faster", "slower")
    cards = [
        Card("ReRAM energy", significant(chosen.energy_nj), "nJ per row", f"{energy} than naive W8A8"),
        Card("ReRAM latency", significant(chosen.latency_us), "µs", f"{latency} than naive W8A8"),
    ]
    return [Card(one.name, one.value, one.unit, one.note.replace("the same than", "the same as")) for one in cards]


def _rival(results: Results) -> ModelResult | None:
    """What the best model is compared with: the best hand-made model, or the search's best where that one won."""
    return best_searched(results) if results.best_model.kind == "handmade" else results.best_handmade


def _beside(best: ModelResult, rival: ModelResult | None, metric: Callable[[Metrics], float | None]) -> str:
    value = metric(best.test)
    other = None if rival is None else metric(rival.test)
    if rival is None or value is None or other is None:
        return f"{best.title}, {counted(len(best.seeds), 'seed')}"
    return f"{difference(value - other)} to {rival.title}"
