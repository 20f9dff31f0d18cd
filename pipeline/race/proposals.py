"""Who takes part: hand-made models, the supernet's best, random networks, architecture files, children of leaders."""

from modules.space import Architecture, SearchSpace, canonical, mutate, single_operator_any_connection
from modules.space.handmade import handmade
from modules.space.union import narrow, unite, widen
from pipeline.race.contest import Contest
from pipeline.race.cost import operations
from pipeline.race.entry import Entry
from pipeline.run.architecture_files import read_architectures
from pipeline.run.records.candidates import Winners
from pipeline.run.records.race import Trial
from pipeline.search.predictor import promising

NARROW_WIDTH = 128
"""Widest dense output of a narrowed hand-made model."""
UNION_SHARE = 0.25
"""Share of children that are the union of two parents."""
MUTATIONS = (1, 1, 2, 3)
"""Mutations of a child, one of these numbers as likely as another."""
GROWTH = (4, 2)
"""How many times as wide the layers of a grown network are, the first that is not too costly."""
ATTEMPTS = 200
"""Draws after which a generation has fewer children, or the race fewer random contenders."""
REFERENCE = "dlrm"
"""The hand-made model whose narrowed form tries the first recipes: cheap, and good on every log that was tried."""


def enter_all(contest: Contest, winners: Winners | None) -> None:
    """Let everyone take part, the contender that tries the first recipes before all others."""
    reference(contest)
    for name in contest.config.handmade:
        _enter_handmade(contest, name)
    config, session = contest.config, contest.session
    given = session.processes.on_first(lambda: read_architectures(session.config.retrain.architectures, session.space))
    for name, architecture in given.items():
        contest.enter(name, "given", "a file given", architecture)
    for winner in winners.winners[: config.from_supernet] if winners else ():
        origin = f"candidate {winner.index} of the supernet"
        contest.enter(contest.next_name(), "searched", origin, winner.architecture, winner.score)
    drawn = 0
    for _ in range(ATTEMPTS + config.random):
        if drawn == config.random:
            break
        own = single_operator_any_connection(contest.space, contest.generator)
        drawn += contest.enter(contest.next_name(), "searched", "drawn at random", own) is not None


def reference(contest: Contest) -> Entry:
    """The contender that tries the first recipes: the narrowed form where the space holds hand-made models."""
    names = contest.config.handmade or (REFERENCE,)
    name = REFERENCE if REFERENCE in names else names[0]
    if not contest.entries:
        _enter_handmade(contest, name)
    own = [one for one in contest.entries if (one.kind, one.name) == ("handmade", name) or one.origin == narrower(name)]
    return own[-1]


def narrower(name: str) -> str:
    """Where a hand-made model's narrowed form comes from."""
    return f"{name} made narrower"


def _enter_handmade(contest: Contest, name: str) -> None:
    """Let a hand-made model take part, then the same made narrower: those that did not yet."""
    own = handmade(name, contest.session.shape)
    contest.enter(name, "handmade", "hand-made", own)
    if _holds(contest.space, own):
        small = narrow(own, NARROW_WIDTH, contest.space)
        contest.enter(contest.next_name(), "searched", narrower(name), small)


def children(contest: Contest, trials: list[Trial], screened: list[Trial]) -> list[Entry]:
    """New contenders made from those that lead in these trials: mutations, and unions of two.

    Many are drawn, and those enter that promise most by what was screened so far.
    """
    config, space = contest.config, contest.space
    leaders = [entry for _, entry in contest.ranked(trials) if _holds(space, entry.architecture)]
    parents = leaders[: config.population]
    possible: dict[Architecture, tuple[Architecture, str]] = {}
    for _ in range(ATTEMPTS):
        if len(possible) == max(config.proposed, config.children):
            break
        child, origin = _child(contest, parents)
        if child is not None and contest.admits(child):
            possible.setdefault(canonical(child), (child, origin))
    drawn = list(possible.values())
    chosen = [drawn[place] for place in _chosen(contest, screened, [child for child, _ in drawn])]
    born = [contest.enter(contest.next_name(), "searched", origin, child) for child, origin in chosen]
    return [entry for entry in born if entry is not None]


def _chosen(contest: Contest, screened: list[Trial], drawn: list[Architecture]) -> list[int]:
    """Places of those that are to be screened; rank 0 predicts, so that all ranks agree to the last bit."""
    of = contest.ranked(screened)
    known = [(entry.architecture, trial.valid_log_loss) for trial, entry in of if trial.valid_log_loss is not None]
    shape, seed = contest.session.shape, len(contest.trials)
    return contest.session.processes.on_first(
        lambda: promising(known, drawn, contest.config.children, shape, seed),
    )


def grown(contest: Contest, best: Entry, handmade: Entry) -> Entry | None:
    """A larger network from a searched contender, for when a hand-made one leads it with the whole recipe.

    Contenders are compared in a short form, in which small networks do well; a log with rows and passes for large ones
    tells only at the end. First the two side by side, then the searched one with wider layers, at most twice as costly
    as the hand-made one. None where both take part already, or do not fit the space.
    """
    space, shape = contest.space, contest.session.shape
    if not (_holds(space, best.architecture) and _holds(space, handmade.architecture)):
        return None
    most = 2 * operations(handmade.architecture, shape)
    wider = (widen(best.architecture, factor, space) for factor in GROWTH)
    made = [(unite(best.architecture, handmade.architecture, space), f"union of {best.name} and {handmade.name}")]
    made += [(own, f"{best.name} made wider") for own in wider]
    for own, origin in made:
        if own is not None and operations(own, shape) <= most:
            entry = contest.enter(contest.next_name(), "searched", origin, own, is_limited=False)
            if entry is not None:
                return entry
    return None


def _child(contest: Contest, parents: list[Entry]) -> tuple[Architecture | None, str]:
    generator, space = contest.generator, contest.space
    if not parents:
        return single_operator_any_connection(space, generator), "drawn at random"
    parent = _tournament(contest, parents)
    if len(parents) > 1 and generator.random() < UNION_SHARE:
        other = parents[int(generator.integers(len(parents)))]
        return unite(parent.architecture, other.architecture, space), f"union of {parent.name} and {other.name}"
    child, count = parent.architecture, MUTATIONS[int(generator.integers(len(MUTATIONS)))]
    for _ in range(count):
        child = mutate(child, space, generator)
    return child, f"{count} mutation{'s' * (count > 1)} of {parent.name}"


def _tournament(contest: Contest, parents: list[Entry]) -> Entry:
    """The best of a few; parents stand best first."""
    size = min(contest.config.tournament, len(parents))
    return parents[int(contest.generator.choice(len(parents), size, replace=False).min())]


def _holds(space: SearchSpace, architecture: Architecture) -> bool:
    """Whether the space holds the architecture, so that it can be mutated there."""
    try:
        space.check(architecture)
    except ValueError:
        return False
    return True
