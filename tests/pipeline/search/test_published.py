"""pipeline/search/published.py: the authors' fine-tuning, against torch's Adagrad and their schedule."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.search.published import CLIP_NORM, published_rate, train_heads
from pipeline.search.scoring_config import PUBLISHED, ScoringConfig
from pipeline.training.frozen_rows import FrozenRows


def authors_rates(steps: int, highest: float, warm_up: int) -> list[float]:
    """The rate of each step as CosineAnnealingWarmupRestarts counts: one call sets it back, one follows each step."""
    rates, place, least = list[float](), -1, 1e-8
    for _ in range(steps):
        if place == -1:
            rates.append(least)
        elif place < warm_up:
            rates.append((highest - least) * place / warm_up + least)
        else:
            turned = math.pi * (place - warm_up) / (steps - warm_up)
            rates.append(least + (highest - least) * (1 + math.cos(turned)) / 2)
        place += 1
    return rates


@pytest.mark.parametrize("steps", [1, 7, 100, 500])
def test_rates_are_the_authors(steps: int) -> None:
    """Step by step, with a tenth of the steps of warm-up; so few that there is none as well."""
    config = ScoringConfig(published_steps=steps)
    expected = authors_rates(steps, 0.04, steps // 10)
    assert [published_rate(step, config) for step in range(steps)] == pytest.approx(expected, rel=1e-12)


def rows_of(count: int, scale: float) -> FrozenRows:
    """Rows with 6 features in the place of embeddings."""
    generator = torch.Generator().manual_seed(0)
    features = scale * torch.randn(count, 1, 6, generator=generator)
    label = (torch.rand(count, generator=generator) < (features[:, 0, 0] / scale).sigmoid()).float()
    return FrozenRows(torch.zeros(count, 1), features, label)


@pytest.mark.parametrize(("count", "scale"), [(2000, 1.0), (130, 1.0), (20, 1.0), (2000, 100.0)])
def test_heads_are_those_of_torchs_adagrad(count: int, scale: float) -> None:
    """Two heads trained together end where torch.optim.Adagrad with ε 1e-2 and clipped gradients ends for each; with
    fewer rows than the steps take they are read again; large features have gradients that are clipped."""
    rows, config = rows_of(count, scale), ScoringConfig(protocol="published", published_steps=40, published_batch=32)
    starts = [(torch.full((6,), value), torch.tensor([value])) for value in (0.0, 0.2)]
    found = train_heads(lambda dense, embedded: [embedded[:, 0], -embedded[:, 0]], starts, rows, config)
    clipped = 0
    for sign, (weight, bias), (trained, offset) in zip((1, -1), starts, found, strict=True):
        own = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        optimizer = torch.optim.Adagrad(own, lr=0.04, eps=1e-2)
        for step, rate in enumerate(authors_rates(40, 0.04, 4)):
            place = step % max(1, count // 32) * 32
            batch = rows.part(place, place + 32)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            logit = sign * batch.embedded[:, 0] @ own[0] + own[1]
            binary_cross_entropy_with_logits(logit, batch.label).backward()
            clipped += float(torch.nn.utils.clip_grad_norm_(own, CLIP_NORM)) > CLIP_NORM
            optimizer.step()
        torch.testing.assert_close(trained, own[0].detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(offset, own[1].detach(), rtol=1e-4, atol=1e-5)
        assert not torch.equal(trained, weight)
    assert bool(clipped) == (scale > 1)


def test_published_sizes() -> None:
    """500 steps of 512 rows, then 150 × 8,192 validation rows, all of them for every candidate."""
    assert PUBLISHED.fine_tune_rows == PUBLISHED.published_steps * PUBLISHED.published_batch == 500 * 512
    assert (PUBLISHED.valid_rows, PUBLISHED.stop_errors, PUBLISHED.published_rate) == (150 * 8_192, 0, 0.04)
