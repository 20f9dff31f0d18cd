"""The report's sentences: who won, whether the interval tells, what it costs, and about too few points."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.words import (
    details,
    deviation,
    difference,
    gap_closed,
    headline,
    rank_agreement,
    ratio,
    significant,
)
from pipeline.run.records.results import Metrics, Results
from pipeline.run.records.trees import Trees
from tests.pipeline.report.small_results import small_model, small_results


def run_of(results: Results) -> RunRecords:
    """A run of which only the results are there."""
    return RunRecords("run", {}, (), {}, (), None, (), None, None, results, None, None, None, None, {}, ())


def test_a_found_model_that_wins_is_said_to_be_found() -> None:
    """With an interval below zero the search has won: by how much, over how many seeds, with which interval."""
    found, dlrm = small_model("found", "searched", 0.4498, 0.4502), small_model("dlrm", "handmade", 0.4530, 0.4550)
    text = headline(run_of(small_results(found, (dlrm, 0.0015))))
    assert text.startswith("The search found a better model than any made by hand: Found")
    assert "0.4500 (2 seeds), 0.0040 lower than Dlrm, the best hand-made model" in text
    assert "(95 % interval of the difference: −0.0055 to −0.0025)" in text


def test_an_interval_that_holds_zero_is_said() -> None:
    """Then nobody is said to be better, whatever the means."""
    found, dlrm = small_model("found", "searched", 0.4500), small_model("dlrm", "handmade", 0.4503)
    text = headline(run_of(small_results(found, (dlrm, 0.0010))))
    assert "cannot be told from the best hand-made model" in text and "better" not in text
    assert "0.0003 lower than Dlrm, the best hand-made model: within the interval of zero" in text
    assert "(95 %: −0.0013 to +0.0007)" in text


def test_worse_on_the_test_rows_is_said() -> None:
    """The winner by validation rows that loses on the test rows is not said to have won there."""
    found, dlrm = small_model("found", "searched", 0.4560), small_model("dlrm", "handmade", 0.4530)
    text = headline(run_of(small_results(found, (dlrm, 0.0010))))
    assert "won on validation rows, but on test rows the best hand-made model is better" in text
    assert "0.0030 higher than Dlrm" in text


def test_a_hand_made_model_that_wins_is_said_to() -> None:
    """The search found nothing better then, and the model is compared with the best that the search has."""
    dlrm, deepfm = small_model("dlrm", "handmade", 0.4500), small_model("deepfm", "handmade", 0.4510)
    first, second = small_model("first", "searched", 0.4540), small_model("second", "searched", 0.4520)
    text = headline(run_of(small_results(dlrm, (first, 0.001), (second, 0.001), (deepfm, 0.001))))
    assert text.startswith("A hand-made model won: the search found nothing better. Dlrm has")
    assert "0.0020 lower than Second, the best of the search" in text
    alone = headline(run_of(small_results(dlrm, (deepfm, 0.001))))
    assert alone.startswith("A hand-made model won; no searched model was trained to the end.")


def test_given_architectures_are_called_so() -> None:
    """A user's own architecture that wins is not the search's, and one that does not is not what is compared with."""
    mine, found = small_model("mine", "given", 0.4000), small_model("found", "searched", 0.4500)
    dlrm = small_model("dlrm", "handmade", 0.4600)
    text = headline(run_of(small_results(mine, (found, 0.001), (dlrm, 0.001))))
    assert text.startswith("An architecture given as a file is better than any hand-made model: Mine")
    text = headline(run_of(small_results(found, (mine, 0.001), (dlrm, 0.001))))
    assert "Mine" not in text and "than Dlrm, the best hand-made model" in text


def test_without_hand_made_models() -> None:
    """Without one nothing is compared."""
    text = headline(run_of(small_results(small_model("found", "searched", 0.45))))
    assert "no hand-made model was trained beside it" in text and "interval" not in text


def test_what_there_is_so_far(finished_run: Path) -> None:
    """While results are absent the headline says how far the run is."""
    run = dataclasses.replace(read_run(finished_run), results=None)
    assert run.race is not None
    leader = min(run.race.finalists, key=lambda one: one.valid_log_loss)
    assert f"{leader.name} leads with a validation log loss of {leader.valid_log_loss:.4f}" in headline(run)
    run = dataclasses.replace(run, race=None)
    assert "The search has scored 24 architectures" in headline(run)
    assert "Training has begun" in headline(dataclasses.replace(run, winners=None))
    assert "not trained anything" in headline(dataclasses.replace(run, winners=None, metrics=()))


def test_seeds_and_their_average_are_told() -> None:
    """Mean and standard deviation over the seeds, the averaged logits' log loss, where it comes from; or one seed."""
    found = small_model("found", "searched", 0.4490, 0.4500, 0.4510)
    assert deviation(found) == pytest.approx(0.001)
    text = " ".join(details(small_results(found)))
    assert "3 seeds have a test log loss of 0.4500 ± 0.0010" in text
    assert "the average of their logits has 0.4480" in text and "Its recipe: D 8, 1 pass" in text
    assert "Its architecture: origin." in text
    single = small_model("found", "searched", 0.4490)
    assert deviation(single) is None
    assert "trained with one seed" in " ".join(details(small_results(single)))


def test_what_the_interval_holds_is_told() -> None:
    """With one seed a model the interval knows of the rows only, and that is said."""
    for losses, expected in (((0.45,), "the luck of the seed is not in them"), ((0.45, 0.46), "and the models' seeds")):
        results = small_results(
            small_model("found", "searched", *losses), (small_model("dlrm", "handmade", 0.47, *losses[1:]), 0.001)
        )
        assert expected in details(results)[-1]


def test_costs_stand_beside_the_best_hand_made_models() -> None:
    """Compute, tables and training of both; of one where the best is hand-made itself."""
    found = small_model("found", "searched", 0.45)
    dlrm = dataclasses.replace(small_model("dlrm", "handmade", 0.46), lookup_bytes=832, table_bytes=8_300_000, trials=7)
    text = details(small_results(found, (dlrm, 0.001)))[1]
    assert "reads 1,664 (832) bytes of 16.6 (8.30) MB" in text and "34 (7) trials" in text
    assert "in brackets: Dlrm" in text
    assert "brackets" not in details(small_results(dlrm, (small_model("worse", "searched", 0.47), 0.001)))[1]


@pytest.mark.parametrize(
    ("log_loss", "expected"), [(0.46, "0.0100 higher than Found."), (0.44, "0.0100 lower than Found: this log")]
)
def test_trees_are_told(log_loss: float, expected: str) -> None:
    """What gradient-boosted trees give on the same rows, and plainly where that is better than the best network."""
    metrics = Metrics(log_loss, None, None, None, 100)
    trees = Trees(smoothing=10.0, trees=7, fits=2, rows=1000, valid=metrics, test=metrics)
    results = small_results(small_model("found", "searched", 0.45))
    assert expected in " ".join(details(results, trees)) and "LightGBM, 7 of them" in " ".join(details(results, trees))
    assert "LightGBM" not in " ".join(details(results))


def test_the_gap_closed_is_told_where_the_best_possible_is_known() -> None:
    """(hand-made − winner) / (hand-made − best possible); nothing where that is not known or a hand-made model won."""
    found, dlrm = small_model("found", "searched", 0.4500), small_model("dlrm", "handmade", 0.4520)
    known = small_results(found, (dlrm, 0.001), oracle=0.4420)
    assert gap_closed(known) == pytest.approx(0.2)
    assert "Found closes 20.0 % of the gap between Dlrm and it" in " ".join(details(known))
    assert gap_closed(small_results(found, (dlrm, 0.001))) is None
    won = small_results(dlrm, (small_model("found", "searched", 0.46), 0.001), oracle=0.4420)
    assert gap_closed(won) is None and "Dlrm is +0.0100 from it" in " ".join(details(won))
    assert not any("best possible" in text for text in details(small_results(found)))


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
