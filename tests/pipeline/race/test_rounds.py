"""pipeline/race/rounds.py and what it stands on: who is trained when, decided on outcomes that a test makes up."""

import itertools
from collections.abc import Sequence

import pytest

from modules.space import OPEN, canonical
from modules.space.handmade import handmade
from pipeline.race.config import starting_recipe
from pipeline.race.contest import Request
from pipeline.race.cost import operations
from pipeline.race.proposals import enter_all
from pipeline.race.rounds import find_recipe, run_finals, screen_entrants
from pipeline.race.trial_training import Job
from pipeline.run.records.race import Trial
from pipeline.session import Session
from pipeline.training.table_widths import widths_by_size
from tests.pipeline.race.made_up import held, made_up, play, with_race


@pytest.fixture
def long(session: Session) -> Session:
    """A session with several generations."""
    return with_race(session, generations=6, children=4)


def test_the_same_race_twice(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race is a function of the outcomes: played again it asks for the same trainings in the same order."""
    first, again = (held(long, monkeypatch) for _ in range(2))
    assert play(first) == play(again)
    assert first.trials == again.trials


def test_the_recipe_is_the_best_tried(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe that the race goes on with has the least log loss of all tried for the first contender."""
    contest = held(long, monkeypatch, lambda job: 0.5 - 0.01 * (job.recipe.tables == "kept") * job.recipe.epochs)
    recipe = find_recipe(contest)
    assert recipe == min(contest.trials, key=lambda trial: trial.valid_log_loss or 0.0).recipe
    assert recipe.tables == "kept" and recipe.epochs > 2
    assert {(trial.kind, trial.contender) for trial in contest.trials} == {("searched", "net_1")}


@pytest.mark.parametrize("best", ["measured", "by size", "alike"])
def test_finalists_have_tables_within_the_limit(long: Session, monkeypatch: pytest.MonkeyPatch, best: str) -> None:
    """Where the best recipe's tables are too large, the contender that tried the recipes is trained with one narrower
    width and with both rules' widths, and the race goes on with the best; every finalist's recipe, also one of its own,
    is within the limit. A limit that is large enough changes nothing."""
    sizes = long.dataset.schema.table_sizes
    limit = 1.5 * 4 * 4 * sum(sizes) / 1e6  # tables 6 wide

    def losses(job: Job) -> float | None:
        widths = set(job.recipe.table_widths)
        kind = "alike" if not widths else "measured" if widths == {4} else "by size"
        is_large = not widths and 4 * job.recipe.embedding_width * sum(sizes) > 1e6 * limit
        return None if made_up(job) is None else (made_up(job) or 0) - 0.1 * (kind == best or is_large)

    contest = held(with_race(long, max_table_mb=limit, tuning_trials=2), monkeypatch, losses)
    recipe, found = play(contest)
    asked = [trial for trial in contest.trials if trial.round == "table widths"]
    assert [(one.kind, one.contender, one.recipe.table_widths) for one in asked] == [("searched", "net_1", ())]
    compared = [trial.recipe for trial in contest.trials if trial.round == "tables within the limit"]
    by_size = widths_by_size(sizes, asked[0].recipe.embedding_width, 1e6 * limit)
    assert {own.table_widths for own in compared} - {()} == {(4,) * len(sizes), by_size}
    expected = {"measured": (4,) * len(sizes), "by size": by_size, "alike": ()}[best]
    assert recipe.table_widths == expected and contest.fits(recipe)
    assert len(found) == 2 and all(contest.fits(one.recipe) for one in found)
    tuned = [trial for trial in contest.trials if trial.round.startswith("tuning")]
    assert tuned and all(contest.fits(trial.recipe) for trial in tuned)


def test_a_limit_that_changes_nothing(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the tables' bytes that every recipe is within leaves the race as it is without one."""
    free, wide = (held(with_race(long, max_table_mb=limit), monkeypatch) for limit in (0.0, 1e6))
    assert play(free) == play(wide) and free.trials == wide.trials


def test_luck_does_not_change_the_recipe(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variation that is better by less than a seed's luck does not replace the first recipe."""
    contest = held(long, monkeypatch, lambda job: 0.5 - 1e-5 * job.index)
    recipe = find_recipe(contest)
    assert len(contest.trials) > 3 and recipe == contest.trials[2].recipe


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("gain", [0.0005, 0.01])
def test_numbers_are_encoded_where_that_helps(
    long: Session, monkeypatch: pytest.MonkeyPatch, gain: float, passes: int
) -> None:
    """The first round tries encoded numbers with one pass; where they are better by more than a seed's luck, the race's
    recipe has them, whichever number of passes it has, and else it has not."""

    def losses(job: Job) -> float:
        gained = gain * (job.recipe.numbers == "piecewise")
        return 0.5 - 0.02 * (job.recipe.epochs == passes) - gained

    contest = held(long, monkeypatch, losses)
    assert contest.has_numbers
    recipe = find_recipe(contest)
    first = [trial.recipe for trial in contest.trials if trial.round == "recipes 1"]
    assert [(own.epochs, own.numbers) for own in first if own.numbers == "piecewise"] == [(1, "piecewise")]
    assert recipe.epochs == passes
    assert recipe.numbers == ("piecewise" if gain > 0.001 else "standardized")


def test_a_log_without_numbers_has_none_to_encode(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no column is numeric, no recipe encodes numbers."""
    contest = held(long, monkeypatch)
    contest.has_numbers = False
    play(contest)
    assert {trial.recipe.numbers for trial in contest.trials} == {"standardized"}


def test_each_kind_has_finalists(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every hand-made model is better than every searched one, searched ones reach the finals all the same."""
    is_better = {handmade(name, long.shape) for name in long.config.race.handmade}
    contest = held(long, monkeypatch, lambda job: 0.4 if job.architecture in is_better else 0.5)
    _, found = play(contest)
    assert {one.kind for one in found} == {"searched", "handmade"}


def test_everyone_takes_part_once(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is entered twice, names are unique within a kind, and all entrants are screened on the same share."""
    contest = held(long, monkeypatch)
    enter_all(contest, None)
    recipe = find_recipe(contest)
    screen_entrants(contest, recipe)
    networks = [canonical(entry.architecture) for entry in contest.entries]
    assert len(set(networks)) == len(networks)
    names = [(entry.kind, entry.name) for entry in contest.entries]
    assert len(set(names)) == len(names)
    screened = [trial for trial in contest.trials if trial.round == "entrants"]
    assert {trial.row_share for trial in screened} == {long.config.race.screening_share}
    assert {(trial.kind, trial.contender) for trial in screened} == set(names)


def test_the_best_screened_are_promoted(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched contenders that were trained on whole passes had a better screening than those that were not."""
    contest = held(with_race(long, random=12), monkeypatch)
    enter_all(contest, None)
    recipe = find_recipe(contest)
    screen_entrants(contest, recipe)
    losses = {(trial.kind, trial.contender): trial.valid_log_loss for trial in contest.trials if not trial.is_whole}
    promoted = {(trial.kind, trial.contender) for trial in contest.trials if trial.round == "promotion"}
    chosen = [loss for key, loss in losses.items() if loss is not None and key in promoted and key[0] == "searched"]
    left = [loss for key, loss in losses.items() if loss is not None and key not in promoted and key[0] == "searched"]
    assert chosen and left and max(chosen) <= min(left)
    assert any(kind == "handmade" for kind, _ in promoted)


def test_no_more_rows_than_the_race_may_have(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """With race.max_rows a whole pass of the race is a share of the log's rows, and nothing is trained on more."""
    rows = long.dataset.rows("train")
    contest = held(with_race(long, max_rows=rows // 4), monkeypatch)
    play(contest)
    assert contest.rows_of_pass == rows // 4
    assert max(trial.rows / trial.recipe.epochs for trial in contest.trials if trial.is_whole) == rows // 4


def test_children_are_of_the_space(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every child can be proposed by the search of the space, and says whose child it is."""
    contest = held(long, monkeypatch)
    play(contest)
    born = [entry for entry in contest.entries if "mutation" in entry.origin or "union" in entry.origin]
    assert len(born) >= 8
    names = {entry.name for entry in contest.entries}
    for entry in born:
        OPEN.check(entry.architecture)
        assert names & set(entry.origin.split())


def test_finalists_get_the_same_trials(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched and hand-made finalists are trained with the race's recipe and as many recipes of their own; each ends
    with its best, and the best of each kind is first."""
    contest = held(with_race(long, finalists=2, handmade_finalists=2, tuning_trials=2, retrained=2), monkeypatch)
    _, found = play(contest)
    tuned = [trial for trial in contest.trials if trial.round.startswith("tuning")]
    counts = {key: len(list(group)) for key, group in itertools.groupby(sorted(t.contender for t in tuned))}
    assert set(counts.values()) == {2}
    assert [one.kind for one in found] == sorted((one.kind for one in found), reverse=True)
    for finalist in found:
        own = [t for t in contest.trials if (t.kind, t.contender) == (finalist.kind, finalist.name)]
        whole = [trial.valid_log_loss for trial in own if trial.is_whole and trial.valid_log_loss is not None]
        assert finalist.valid_log_loss == min(whole)
        assert (finalist.trials, finalist.rows) == (len(own), sum(trial.rows for trial in own))


def test_only_the_best_finalists_are_tuned(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more finalists than are trained to the end, those with the least log loss in the finals try recipes."""
    contest = held(with_race(long, finalists=2, handmade_finalists=2, tuning_trials=2, retrained=1), monkeypatch)
    _, found = play(contest)
    tuned = {(trial.kind, trial.contender) for trial in contest.trials if trial.round.startswith("tuning")}
    assert tuned == {(one.kind, one.name) for one in found} and len(found) == 2
    for one in found:
        finals = [trial for trial in contest.trials if trial.round == "finals" and trial.kind == one.kind]
        losses = [trial.valid_log_loss for trial in finals if trial.valid_log_loss is not None]
        own = [trial.valid_log_loss for trial in finals if trial.contender == one.name]
        assert not own or own == [min(losses)]


def test_larger_networks_where_a_hand_made_one_leads(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a hand-made finalist leads with the whole recipe, the searched one's next trial is the two side by side,
    with the leader's best recipe, whatever searched contenders may cost; both kinds still have as many trials."""
    ended = dict[str, float]()

    def losses(job: Job) -> float | None:
        if job.recipe.tables != "fresh":
            return made_up(job)
        ended[job.name] = 0.40 if job.name == "dlrm" else 0.39 if "dlrm" in origins.get(job.name, "") else 0.45
        return ended[job.name] - 1e-4 * (job.recipe.learning_rate != starting_recipe().learning_rate)

    origins = dict[str, str]()
    own = with_race(long, max_mega_operations=0.05, tuning_trials=2, handmade=("dlrm",))
    contest = held(own, monkeypatch, losses)
    enter_all(contest, None)
    recipe = find_recipe(contest)
    screen_entrants(contest, recipe)
    before = {entry.name for entry in contest.entries}
    train = contest.train

    def told(round_name: str, requests: Sequence[Request]) -> list[Trial]:
        origins.update({one.entry.name: one.entry.origin for one in requests if "union" in one.entry.origin})
        return train(round_name, requests)

    monkeypatch.setattr(contest, "train", told)
    found = run_finals(contest, recipe)
    tuned = [trial for trial in contest.trials if trial.round.startswith("tuning")]
    assert [trial.kind for trial in tuned].count("searched") == [trial.kind for trial in tuned].count("handmade") == 2
    first = next(trial for trial in tuned if trial.kind == "searched")
    (grown,) = [entry for entry in contest.entries if entry.name == first.contender]
    assert grown.name not in before and grown.origin.startswith("union of net_") and grown.origin.endswith("and dlrm")
    assert operations(grown.architecture, long.shape) > 0.05e6
    assert first.recipe == recipe
    best = min(found, key=lambda one: one.valid_log_loss)
    assert (best.kind, best.name) == ("searched", grown.name)


def test_no_larger_networks_where_a_searched_one_leads(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every finalist's trials are variations of its recipe."""
    contest = held(with_race(long, tuning_trials=2), monkeypatch, lambda job: 0.45 - 0.01 * job.name.startswith("net"))
    play(contest)
    tuned = [trial for trial in contest.trials if trial.round.startswith("tuning")]
    before = {trial.contender for trial in contest.trials if trial.index < tuned[0].index}
    assert tuned and {trial.contender for trial in tuned} <= before


def test_longer_trainings_make_no_parents(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parents are chosen on trainings of one form: the contender that tried the recipes, over more passes and so with
    the least log losses of all, has no more children than its own short training deserves."""

    def losses(job: Job) -> float | None:
        return 0.9 if job.name == "net_1" and job.recipe.epochs == 1 else made_up(job) or 0.6

    contest = held(with_race(long, population=2, random=6), monkeypatch, losses)
    play(contest)
    born = [entry for entry in contest.entries if "mutation" in entry.origin or "union" in entry.origin]
    assert len(born) >= 8 and not any("net_1" in entry.origin.split() for entry in born)


def test_what_is_given_takes_part(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the user's is raced also where it is the same network as another contender."""
    contest = held(long, monkeypatch)
    own = handmade("dlrm", long.shape)
    assert contest.enter("dlrm", "handmade", "hand-made", own) and contest.enter("mine", "given", "a file given", own)
    assert contest.enter("net_1", "searched", "drawn at random", own) is None


def test_failed_trainings_never_win(long: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contenders whose trainings fail are neither promoted nor parents nor finalists; if all fail there is none."""
    contest = held(long, monkeypatch)
    _, found = play(contest)
    failed = {trial.contender for trial in contest.trials if trial.valid_log_loss is None and not trial.is_whole}
    assert failed and not failed & {one.name for one in found}
    assert not any(set(entry.origin.split()) & failed for entry in contest.entries)
    nothing = held(with_race(long, generations=0), monkeypatch, lambda _: None)
    assert play(nothing)[1] == ()


@pytest.mark.parametrize("leads", [False, True])
def test_what_costs_too_much_takes_no_part(long: Session, monkeypatch: pytest.MonkeyPatch, leads: bool) -> None:
    """No searched contender costs more than the limit; hand-made ones may; as many random ones take part as asked.
    Where a hand-made model leads that costs more, its children may cost as much, and some do; what is grown beside it
    in the finals may cost twice as much."""
    limit = 0.1
    own = handmade("dlrm", long.shape)

    def losses(job: Job) -> float | None:
        return 0.1 if leads and job.architecture == own else made_up(job)

    contest = held(with_race(long, max_mega_operations=limit, random=10), monkeypatch, losses)
    play(contest)
    costs = {entry: operations(entry.architecture, long.shape) / 1e6 for entry in contest.entries}
    most = operations(own, long.shape) / 1e6 if leads else limit
    grown = {entry for entry in contest.entries if {trial.round for trial in entry.trials} == {"tuning 1"}}
    searched = [cost for entry, cost in costs.items() if entry.kind == "searched" and entry not in grown]
    assert max(searched) <= most and (max(searched) > limit) == leads
    assert all(costs[entry] <= 2 * most for entry in grown) and (leads or not grown)
    assert any(cost > limit for entry, cost in costs.items() if entry.kind == "handmade")
    assert sum(entry.origin == "drawn at random" for entry in contest.entries) == 10
