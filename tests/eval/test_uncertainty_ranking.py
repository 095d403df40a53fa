import numpy as np
import pytest
from small_scans import knee
from upsamplers import FunctionUpsampler

from eval.experiments import uncertainty_ranking
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Interpolation, SelfEnsemble, Upsampler
from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.volume import Volume


def tubes(seed: int) -> Volume:
    """One echo of a scan whose tubes are of another T2, and so of another contrast, each time."""
    t2_ms = tuple(np.random.default_rng(seed).uniform(15, 70, 2))
    return knee((24, 20, 16), echoes=1, t2_ms=t2_ms, seed=seed, noise=2.0)[0]


@pytest.fixture(scope="module")
def trained() -> Upsampler:
    """A network of four convolutions after a few seconds of training."""
    import keras

    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.network.streaming import SuperResolver

    keras.utils.set_random_seed(0)
    truth = np.stack([tubes(seed).array for seed in range(6)]) / 1000
    inputs = interpolate(thicken(truth, axis=3), axis=3)
    network = build_model(1, convolutions=4, filters=8)
    network.compile(keras.optimizers.Adam(3e-3), "mse")
    network.fit(inputs, truth, batch_size=2, epochs=20, verbose=0)
    resolver = SuperResolver(network.get_weights(), 2)
    return SelfEnsemble(FunctionUpsampler(lambda thick: resolver.super_resolve(thick).numpy()))


def test_the_uncertainty_of_an_ensemble_ranks_the_errors_of_a_trained_network(trained):
    (echo,) = uncertainty_ranking.rank_errors(tubes(99), trained)
    assert echo.name == "echo 1"
    assert echo.correlation > 0.1
    assert echo.errors[-1] > 3 * echo.errors[0]


def test_an_uncertainty_without_information_ranks_nothing():
    random = np.random.default_rng(0)

    def upsample(thick):
        fine = interpolate(thick, 2)
        return fine + random.normal(0, 5, (fine.shape[2], 1))

    blind = SelfEnsemble(FunctionUpsampler(upsample))
    (echo,) = uncertainty_ranking.rank_errors(tubes(99), blind)
    assert abs(echo.correlation) < 0.1


def test_t2_is_ranked_where_it_is_known():
    scan, _, true_t2 = knee(noise=20.0)
    ramp = np.linspace(1, 1.05, 24)[:, None, None, None]
    upsampler = SelfEnsemble(FunctionUpsampler(lambda thick: interpolate(thick, 2) * ramp))
    rankings = uncertainty_ranking.rank_errors(scan, upsampler, true_t2)
    assert [ranking.name for ranking in rankings] == ["echo 1", "echo 2", "T2"]
    assert len(uncertainty_ranking.rank_errors(scan, upsampler)) == 2


def test_the_correlation_is_spearmans_of_the_ranks():
    uncertainty = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    ranking = uncertainty_ranking._ranking(
        "x", uncertainty, np.array([1.0, 2, 3, 5, 4]), np.array([5.0, 4, 3, 2, 1])
    )
    assert ranking.correlation == pytest.approx(0.9)  # 1 - 6 * 2 / (5 * 24)
    assert ranking.brightness_correlation == pytest.approx(-0.9)
    assert ranking.errors == (1, 2, 3, 5, 4)


def test_without_an_ensemble_there_is_nothing_to_rank():
    with pytest.raises(InputError, match="with an ensemble"):
        uncertainty_ranking.rank_errors(tubes(0), Interpolation("tci"))
