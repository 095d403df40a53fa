import keras
import numpy as np
import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.network.architecture import build_model, convolution_layers, space_to_depth_of
from mrsr_tf.network.model_card import weights_sha256
from mrsr_tf.network.space_to_depth import SINGLE_VOXEL, BlockShape, DepthToSpace, SpaceToDepth
from mrsr_tf.network.transfer import to_dual_contrast


def random_single(seed: int = 0, blocks: BlockShape = SINGLE_VOXEL) -> keras.Model:
    """A small single-contrast network with weights and biases that all matter."""
    network = build_model(1, convolutions=4, filters=6, space_to_depth=blocks)
    random = np.random.default_rng(seed)
    network.set_weights([random.normal(0, 0.2, w.shape) for w in network.get_weights()])
    return network


def patch(echoes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (2, 7, 8, 9, echoes)).astype(np.float32)


@pytest.mark.parametrize(("echoes", "parameters"), [(1, 1_995_329), (2, 1_998_786)])
def test_paper_network_has_the_papers_parameters(echoes, parameters):
    assert build_model(echoes).count_params() == parameters


def test_paper_network_is_19_relu_layers_of_64_maps_and_a_linear_one():
    layers = convolution_layers(build_model(2))
    assert [layer.filters for layer in layers] == [64] * 19 + [2]
    assert [layer.activation.__name__ for layer in layers] == ["relu"] * 19 + ["linear"]
    assert all(layer.kernel_size == (3, 3, 3) for layer in layers)


def test_output_is_input_plus_residual():
    network = random_single()
    weights = network.get_weights()
    network.set_weights([*weights[:-2], np.zeros_like(weights[-2]), np.full(1, 0.25)])
    np.testing.assert_allclose(network(patch(1)), patch(1) + 0.25, atol=1e-6)


def test_an_untrained_network_gives_its_input():
    np.testing.assert_array_equal(build_model(2, convolutions=3, filters=4)(patch(2)), patch(2))


def test_the_first_weights_keep_the_signal_through_all_layers():
    network = build_model(1)
    hidden = keras.Model(network.input, network.layers[-2].input)
    noise = np.random.default_rng(0).normal(0, 1, (1, 12, 12, 12, 1)).astype(np.float32)
    # Padding with zeros costs some at so small a patch; Keras's own first weights leave 1e-3.
    assert np.std(hidden(noise)) > 0.05


def test_receptive_field_is_one_more_than_twice_the_convolutions():
    network = build_model(1, convolutions=3, filters=2)
    network.set_weights([np.ones_like(w) for w in network.get_weights()])
    still = np.zeros((1, 15, 15, 15, 1), np.float32)
    touched = still.copy()
    touched[0, 7, 7, 7, 0] = 1
    changed = np.abs(np.asarray(network(touched) - network(still)))[0, :, 7, 7, 0] > 0
    assert changed.sum() == 7


@pytest.mark.parametrize("blocks", [SINGLE_VOXEL, (2, 2, 2)])
def test_two_equal_echoes_give_the_single_networks_output_in_both(blocks):
    single = random_single(blocks=blocks)
    dual = to_dual_contrast(single)
    echo = patch(1)
    expected = np.repeat(np.asarray(single(echo)), 2, axis=-1)
    given = dual(np.repeat(echo, 2, axis=-1))
    np.testing.assert_allclose(given, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_transfer_repeats_first_and_last_layer_and_keeps_the_rest():
    single = random_single()
    before, after = single.get_weights(), to_dual_contrast(single).get_weights()
    for echo in range(2):
        np.testing.assert_array_equal(after[0][:, :, :, echo], before[0][:, :, :, 0] / 2)
        np.testing.assert_array_equal(after[-2][..., echo], before[-2][..., 0])
        assert after[-1][echo] == before[-1][0]
    for kept, original in zip(after[1:-2], before[1:-2], strict=True):
        np.testing.assert_array_equal(kept, original)


def test_plain_repeat_keeps_the_first_layers_weights():
    single = random_single()
    before, after = single.get_weights(), to_dual_contrast(single, plain_repeat=True).get_weights()
    np.testing.assert_array_equal(after[0], np.repeat(before[0], 2, axis=3))


def test_transfer_of_a_dual_network_is_refused():
    with pytest.raises(InputError, match="network of one echo"):
        to_dual_contrast(build_model(2, convolutions=2, filters=1))


@pytest.mark.parametrize("wrong", [{"echoes": 3}, {"convolutions": 1}, {"filters": 0}])
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(InputError, match="expected 1 or 2 echoes"):
        build_model(**wrong)


def test_weights_digest_sees_every_value():
    weights = random_single().get_weights()
    changed = [w.copy() for w in weights]
    changed[-1][0] += 1e-3
    assert weights_sha256(weights) == weights_sha256(random_single().get_weights())
    assert weights_sha256(weights) != weights_sha256(changed)


@pytest.mark.parametrize("blocks", [(2, 2, 2), (1, 1, 2), (3, 2, 1)])
@pytest.mark.parametrize("shape", [(7, 8, 5), (6, 6, 2), (9, 3, 4)])
def test_depth_to_space_inverts_space_to_depth_at_any_size(blocks, shape):
    voxels = np.random.default_rng(0).normal(size=(2, *shape, 2)).astype(np.float32)
    cells = SpaceToDepth(blocks)(voxels)
    assert cells.shape[-1] == 2 * np.prod(blocks)
    np.testing.assert_array_equal(DepthToSpace(blocks)([cells, voxels]), voxels)


def test_a_cell_holds_its_block_of_voxels_echoes_fastest():
    voxels = np.arange(2 * 2 * 4 * 2, dtype=np.float32).reshape(1, 2, 2, 4, 2)
    cells = np.asarray(SpaceToDepth((2, 2, 2))(voxels))
    np.testing.assert_array_equal(cells[0, 0, 0, 1], voxels[0, :, :, 2:].ravel())


def test_a_network_on_blocks_is_the_interpolation_until_trained_and_survives_saving(tmp_path):
    network = build_model(2, convolutions=3, filters=4, space_to_depth=(2, 2, 2))
    voxels = np.random.default_rng(0).normal(size=(1, 5, 6, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(network(voxels), voxels)
    network.set_weights([np.full(w.shape, 0.01) for w in network.get_weights()])
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert space_to_depth_of(again) == (2, 2, 2)
    np.testing.assert_array_equal(again(voxels), network(voxels))
