"""Do cheap scores rank networks as training from scratch does?

python -m pipeline.rank_study [named run] [--run NAME] [--rank-study.random 40] [--field value ...]

Draws networks of the run's space, trains each from scratch on all rows with several seeds, scores it in every cheaper
way, and says how well each ranks: Kendall's τ, Spearman's ρ, the regret of picking the best one or three, and its
CPU-seconds. Writes rank_study.json, which the report shows. The last line is JSON: kendall_tau and top3_regret of the
score that decides who enters the race's whole trainings.

K networks.
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.rank_study:main", "pipeline.rank_study"))

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch

from modules.space import Architecture, single_operator_any_connection
from pipeline.race.contest import Contest
from pipeline.race.cost import operations
from pipeline.race.outcomes import train_all
from pipeline.race.recipes import screening_share
from pipeline.race.rounds import find_recipe
from pipeline.race.trial_training import Job, Outcome
from pipeline.run.processes import cpu_threads
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.candidates import Candidate, best_candidates, with_scores
from pipeline.run.records.codec import read_lines
from pipeline.run.records.race import Trial
from pipeline.run.records.rank_study import Estimate, RankStudy, StudiedNetwork, StudiedScore
from pipeline.run.records.recipe import Recipe
from pipeline.search.fidelities import FIDELITIES, Fidelity, Scorer
from pipeline.search.ranking import agreement, ranking
from pipeline.session import Session
from pipeline.train import train_supernet
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.supernet import SUPERNET, load_supernet
from pipeline.training.workers import Workers, workers

Scores = tuple[str, str, list[float | None], float]
"""(name, title, score of each network or None, mean CPU-seconds)."""


def rank_study(session: Session, team: Workers | None = None) -> RankStudy:
    """Run the study and write rank_study.json; if that is done, only read it. `team`: workers to share.

    Raises ValueError where the run has a study with other settings.
    """
    path, settings = session.folder.rank_study, session.config.rank_study
    if not session.exists(path):
        session.write(path, _study(session, team))
        session.processes.on_first(lambda: _clear(session))
    found = session.read(path, RankStudy)
    if found.settings != settings:
        raise ValueError(f"{path} is a study with other settings, {found.settings}; remove it to run this one")
    for line in lines(found):
        session.say(line)
    return found


def _clear(session: Session) -> None:
    """Remove what only the study needed: outcomes, and the supernets beside the run's own."""
    shutil.rmtree(session.folder.rank_study_outcomes)
    for sampler in session.config.rank_study.samplers:
        shutil.rmtree(session.folder.checkpoints(_stage(session, sampler)), ignore_errors=True)


def _stage(session: Session, sampler: str) -> str:
    """Where the supernet of a sampler lies: the run's own, or one of the study's."""
    is_own = sampler == session.config.supernet.sampler
    return SUPERNET if is_own else f"{SUPERNET}_{sampler}"


def _study(session: Session, team: Workers | None) -> RankStudy:
    config = session.config.rank_study
    samplers = dict.fromkeys([session.config.supernet.sampler, *config.samplers])
    for sampler in samplers:
        train_supernet(_sampled_by(session, sampler), _stage(session, sampler))
    networks = [*_random(session), *_good(session)]
    with workers(session, team) as own_team:
        form = _form(session, own_team)
        jobs = _jobs(session, [one for _, one in networks], form)
        outcomes = _trained(session, own_team, jobs)
    whole = [
        [outcomes[f"network {index}, seed {seed}"] for seed in range(config.seeds)] for index in range(len(networks))
    ]
    studied = tuple(
        StudiedNetwork(index, "good" if is_good else "random", own, tuple(one.valid_log_loss for one in whole[index]))
        for index, (is_good, own) in enumerate(networks)
    )
    scores = [
        *(one for sampler in samplers for one in _on_supernet(session, sampler, form, [own for _, own in networks])),
        *_on_shares(session, form, outcomes, len(networks)),
    ]
    generator = numpy.random.default_rng(session.config.seed)
    return RankStudy(
        settings=config,
        recipe=form,
        networks=studied,
        scratch_cpu_s=round(float(numpy.mean([one.cpu_s for own in whole for one in own])), 3),
        scratch_tau=_between_seeds(studied, generator),
        scores=tuple(sorted((_score(studied, one, generator) for one in scores), key=lambda one: one.cpu_s)),
    )


def _sampled_by(session: Session, sampler: str) -> Session:
    """The session with another way to draw the supernet's paths."""
    supernet = dataclasses.replace(session.config.supernet, sampler=sampler)
    return dataclasses.replace(session, config=dataclasses.replace(session.config, supernet=supernet))


def _form(session: Session, team: Workers) -> Recipe:
    """The recipe with which the run's race compares contenders: as it did, or found as it will."""
    path = session.folder.race_trials
    if session.exists(path):
        trials = session.processes.on_first(lambda: [one for _, one in read_lines(path, Trial, session.space)])
        return next(trial.recipe for trial in trials if trial.round == "entrants")
    contest = Contest(session, team)
    recipe = find_recipe(contest)
    contest.close()
    return contest.search_form(recipe)


def _random(session: Session) -> list[tuple[bool, Architecture]]:
    """(False, network) drawn at random, none of them costlier than the race takes."""
    generator, limit = numpy.random.default_rng([session.config.seed, 1]), 1e6 * session.config.race.max_mega_operations
    found: list[Architecture] = []
    for _ in range(100 * session.config.rank_study.random):
        if len(found) == session.config.rank_study.random:
            break
        own = single_operator_any_connection(session.space, generator)
        if own not in found and (not limit or operations(own, session.shape) <= limit):
            found.append(own)
    return [(False, own) for own in found]


def _good(session: Session) -> list[tuple[bool, Architecture]]:
    """(True, network): the best candidates of the run's search. Raises ValueError where it has not been run."""
    count, path = session.config.rank_study.good, session.folder.candidates
    if not count:
        return []
    if not session.exists(path):
        raise ValueError(f"rank_study.good is {count}, but {path} is absent; run the search first")
    found = session.processes.on_first(lambda: tuple(one for _, one in read_lines(path, Candidate, session.space)))
    return [(True, one.architecture) for one in best_candidates(with_scores(found), count)]


def _jobs(session: Session, networks: Sequence[Architecture], form: Recipe) -> dict[str, Job]:
    """Every training from scratch, by what it is: on all rows with each seed, and on each share of them."""
    config, jobs = session.config.rank_study, dict[str, Job]()
    whole = min(1.0, session.config.race.max_rows / session.dataset.rows("train"))
    for index, architecture in enumerate(networks):
        for seed in range(config.seeds):
            name = f"network {index}, seed {seed}"
            jobs[name] = Job(len(jobs), name, architecture, form, whole)
        for share in _shares(session, form):
            name = f"network {index}, share {share:g}"
            jobs[name] = Job(len(jobs), name, architecture, form, share * whole)
    return jobs


def _shares(session: Session, form: Recipe) -> tuple[float, ...]:
    """Shares of the rows studied: the race's own for screening, and the configured ones."""
    own = screening_share(form, session.config.race.screening_share)
    return tuple(sorted({own, *session.config.rank_study.shares}))


def _trained(session: Session, team: Workers, jobs: Mapping[str, Job]) -> dict[str, Outcome]:
    folder = session.folder.rank_study_outcomes
    with progress_bar(total=len(jobs), desc="study", unit="net", disable=not session.processes.is_first) as progress:
        outcomes = train_all(session, team, list(jobs.values()), lambda _: progress.update(), folder)
    return dict(zip(jobs, outcomes, strict=True))


def _on_supernet(session: Session, sampler: str, form: Recipe, networks: Sequence[Architecture]) -> list[Scores]:
    """Every score on the supernet trained by a sampler; a core scores one network at a time."""
    stage = _stage(session, sampler)
    supernet, trainee = load_supernet(session, stage)
    config, dataset, processes, seed = session.config, session.dataset, session.processes, session.config.seed
    rows = max(config.rank_study.rows, config.scoring.fine_tune_rows)
    train = load_frozen_rows(trainee.embeddings, dataset, "train", rows, processes, seed, mixed=True)
    valid = load_frozen_rows(trainee.embeddings, dataset, "valid", config.race.valid_rows, processes, seed, mixed=True)
    scorer = Scorer(supernet, train, valid, config.scoring, form, config.retrain.layer_norm)
    found: list[Scores] = []
    for name, (title, fidelity) in FIDELITIES.items():

        def timed(architecture: Architecture, fidelity: Fidelity = fidelity) -> tuple[float, float]:
            started = time.thread_time()
            return fidelity(scorer, architecture), time.thread_time() - started

        cores = torch.get_num_threads()
        with cpu_threads(1), ThreadPoolExecutor(cores) as pool:
            values = list(pool.map(timed, networks))
        scores = [value if math.isfinite(value) else None for value, _ in values]
        if stage != SUPERNET:
            name, title = f"{sampler}.{name}", f"{title}; paths by {sampler}"
        found.append((name, title, scores, sum(cpu_s for _, cpu_s in values) / len(values)))
    return found


def _on_shares(session: Session, form: Recipe, outcomes: Mapping[str, Outcome], networks: int) -> list[Scores]:
    """Scores from scratch on a share of the rows."""
    found: list[Scores] = []
    for share in _shares(session, form):
        own = [outcomes[f"network {index}, share {share:g}"] for index in range(networks)]
        cpu_s = sum(one.cpu_s for one in own) / len(own)
        title = f"from scratch on {share:.3g} of the rows"
        found.append((f"scratch_{share:g}", title, [one.valid_log_loss for one in own], cpu_s))
    return found


def _score(networks: Sequence[StudiedNetwork], scores: Scores, generator: numpy.random.Generator) -> StudiedScore:
    """A score with how it ranks the networks that could be trained from scratch."""
    name, title, values, cpu_s = scores
    pairs = [(value, one.loss) for value, one in zip(values, networks, strict=True) if one.loss is not None]
    own, losses = numpy.array([[math.inf if value is None else value, loss] for value, loss in pairs]).T
    return StudiedScore(name, title, tuple(values), round(cpu_s, 3), ranking(own, losses, generator))


def _between_seeds(networks: Sequence[StudiedNetwork], generator: numpy.random.Generator) -> Estimate | None:
    """How well one training from scratch ranks as the next: Kendall's τ between the first two seeds."""
    pairs = [one.losses[:2] for one in networks if one.loss is not None and len(one.losses) > 1]
    if not pairs:
        return None
    first, second = numpy.array(pairs, numpy.float64).T
    return agreement(first, second, generator)


def lines(study: RankStudy) -> list[str]:
    """The study as a table for the terminal."""
    head = f"rank study {len(study.networks)} networks, {len(study.networks[0].losses)} trainings of each on all rows"
    found = [f"{head} ({study.scratch_cpu_s:.1f} CPU-seconds; {study.recipe.in_words()})"]
    if study.scratch_tau is not None:
        found.append(f"rank study one training against another: τ {_with_interval(study.scratch_tau)}")
    for one in study.scores:
        own = one.ranking
        found.append(
            f"rank study {one.title:<52} {one.cpu_s:6.2f} CPU-s  τ {_with_interval(own.kendall_tau)}  "
            f"ρ {own.spearman.value:.2f}  regret of the top 3 {own.top3_regret.value:.5f}, of the first "
            f"{own.top1_regret.value:.5f}"
        )
    return found


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} … {estimate.high:.2f})"


def last_line(session: Session, study: RankStudy) -> str:
    """The figures of the score that the race screens by."""
    share = screening_share(study.recipe, session.config.race.screening_share)
    (own,) = (one.ranking for one in study.scores if one.name == f"scratch_{share:g}")
    figures = {"kendall_tau": round(own.kendall_tau.value, 3), "top3_regret": round(own.top3_regret.value, 5)}
    return json.dumps(figures)


def main(session: Session) -> None:
    """The program."""
    session.say(last_line(session, rank_study(session)))
