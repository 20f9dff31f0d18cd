"""The large figures: those of results and chip that there are, beside the right rival."""

import dataclasses
from pathlib import Path

from pipeline.report.cards import all_cards
from pipeline.report.run_records import read_run
from tests.pipeline.report.small_results import small_model, small_results


def test_all_of_a_finished_run(finished_run: Path) -> None:
    """Log loss with its interval, averaged seeds, gap closed, AUC, compute, tables, training, and the chip."""
    run = read_run(finished_run)
    assert run.results is not None and run.codesign is not None and run.results.best_handmade is not None
    cards = {card.name: card for card in all_cards(run.results, run.codesign)}
    best, handmade = run.results.best_model, run.results.best_handmade
    assert list(cards)[:4] == ["Test log loss", "Seeds averaged", "Gap closed", "AUC"]
    assert cards["Test log loss"].value == f"{best.test.log_loss:.4f}"
    assert f"to {handmade.title} (95 %: −" in cards["Test log loss"].note
    assert cards["Seeds averaged"].value == f"{best.ensemble.test.log_loss:.4f}"
    closed = (handmade.test.log_loss - best.test.log_loss) / (handmade.test.log_loss - 0.4468)
    assert cards["Gap closed"].value == f"{100 * closed:.1f} %"
    assert cards["Embedding tables"].note == f"a row reads {best.lookup_bytes:,} bytes"
    assert cards["Race"].value == f"{best.trials}" and f"{best.rows:,} rows" in cards["Race"].note
    assert {"ReRAM energy", "ReRAM latency"} < set(cards)
    assert all_cards(None, None) == []


def test_the_same_cost_is_said_so(finished_run: Path) -> None:
    """Where the chosen mapping is the naive one, its costs are “the same as”."""
    codesign = read_run(finished_run).codesign
    assert codesign is not None
    notes = [card.note for card in all_cards(None, dataclasses.replace(codesign, pareto=()))]
    assert notes == ["the same as naive W8A8"] * 2


def test_a_hand_made_winner_stands_beside_the_searchs_best() -> None:
    """One seed and no known best possible log loss leave those cards out; alone, a model is compared with nothing."""
    dlrm, found = small_model("dlrm", "handmade", 0.45, auc=None), small_model("found", "searched", 0.46)
    cards = {card.name: card for card in all_cards(small_results(dlrm, (found, 0.001)), None)}
    assert cards["Test log loss"].note == "−0.0100 to Found (95 %: −0.0110 to −0.0090)"
    assert cards["AUC"].value == "–" and not {"Seeds averaged", "Gap closed"} & set(cards)
    alone = all_cards(small_results(found), None)
    assert alone[0].note == "Found, 1 seed"
