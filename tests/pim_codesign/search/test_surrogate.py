"""Estimates of log losses."""

import numpy
import pytest

from pim_codesign.search.surrogate import fit, noise


def test_an_additive_log_loss_is_recovered() -> None:
    """Where the log loss really is additive, enough measurements give it back; few still rank operators."""
    generator = numpy.random.default_rng(0)
    sensitivities = generator.exponential(0.002, 20)
    bits = generator.choice([4, 6, 8], size=(400, 20))
    losses = 0.45 + noise(bits) @ sensitivities
    unseen = generator.choice([4, 6, 8], size=(100, 20))
    many = fit(bits, losses, 0.45)
    assert many.predict(unseen) == pytest.approx(0.45 + noise(unseen) @ sensitivities, abs=1e-4)
    few = fit(bits[:30], losses[:30], 0.45)
    assert numpy.corrcoef(few.predict(unseen), noise(unseen) @ sensitivities)[0, 1] > 0.9


def test_noise_makes_no_operator_gain_from_fewer_bits() -> None:
    """Sensitivities are never negative, even when measurements are nothing but noise below the constant."""
    generator = numpy.random.default_rng(1)
    bits = generator.choice([4, 6, 8], size=(30, 12))
    found = fit(bits, 0.45 - generator.exponential(0.001, 30), 0.45)
    assert (found.sensitivities >= 0).all()
    assert found.predict(numpy.full((1, 12), 8))[0] == 0.45
