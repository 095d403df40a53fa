import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scans import make_scan

from mrsr_tf.mri import slices
from mrsr_tf.network import streaming
from mrsr_tf.network.architecture import build_model
from mrsr_tf.network.saved_model import save_graph
from mrsr_tf.network.space_to_depth import SINGLE_VOXEL, BlockShape
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.volume import intensity_scale


def network_and_resolver(
    echoes: int, factor: int = 2, convolutions: int = 5, blocks: BlockShape = SINGLE_VOXEL
):
    network = build_model(echoes, convolutions=convolutions, filters=4, space_to_depth=blocks)
    random = np.random.default_rng(0)
    network.set_weights([random.normal(0, 0.15, w.shape) for w in network.get_weights()])
    return network, SuperResolver(network.get_weights(), factor, blocks)


def whole_volume_pass(network, thick: np.ndarray, factor: int) -> np.ndarray:
    """NumPy's interpolation and scale, and one pass of the Keras network over all of it."""
    fine = slices.interpolate(thick, factor)
    scale = intensity_scale(fine)
    return network(fine[None] / scale).numpy()[0] * scale


@pytest.mark.parametrize("slab_bytes", [1, 30_000, 100_000, 2**30])
@pytest.mark.parametrize("shape", [(23, 9, 5, 2), (9, 31, 4, 1), (6, 5, 20, 2), (17, 16, 1, 2)])
def test_slabs_equal_one_pass_over_the_whole_volume(monkeypatch, slab_bytes, shape):
    monkeypatch.setattr(streaming, "SLAB_BYTES", slab_bytes)
    network, resolver = network_and_resolver(shape[3], convolutions=12)
    thick = make_scan(shape[:3], shape[3]).array
    expected = whole_volume_pass(network, thick, 2)
    result = resolver.super_resolve(tf.constant(thick))
    np.testing.assert_allclose(result, expected, atol=1e-5 * expected.max())


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 14)] * 3, st.integers(1, 2)),
    factor=st.integers(2, 4),
    planes=st.integers(1, 5),
    blocks=st.sampled_from([SINGLE_VOXEL, (2, 2, 2), (2, 1, 2)]),
    at_once=st.integers(1, 4),
)
def test_any_size_and_factor_streams_correctly(shape, factor, planes, blocks, at_once):
    network, resolver = network_and_resolver(shape[3], factor, convolutions=3, blocks=blocks)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(streaming, "SLAB_BYTES", 4 * 4 * 14 * 56 * planes)
        patched.setattr(streaming, "LAYERS_AT_ONCE", at_once)
        result = resolver.super_resolve(tf.constant(make_scan(shape[:3], shape[3]).array))
    expected = whole_volume_pass(network, make_scan(shape[:3], shape[3]).array, factor)
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.fixture
def counted(monkeypatch):
    """The multiply-adds of every convolution: kernel values times output voxels."""
    counts = []
    convolution = streaming.convolution

    def counting(*channels_and_precision, **settings):
        convolve = convolution(*channels_and_precision, **settings)

        def counting_convolve(planes, tail, kernel, bias):
            features, kept = convolve(planes, tail, kernel, bias)
            counts.append(tf.size(kernel).numpy() * tf.size(features[..., 0]).numpy())
            return features, kept

        return counting_convolve

    monkeypatch.setattr(streaming, "convolution", counting)
    return counts


@pytest.mark.parametrize("shape", [(25, 4, 3, 1), (4, 6, 30, 2), (9, 5, 1, 2)])
def test_no_voxel_of_any_layer_is_computed_twice(monkeypatch, counted, shape):
    monkeypatch.setattr(streaming, "SLAB_BYTES", 1)
    monkeypatch.setattr(streaming, "LAYERS_AT_ONCE", 2)
    network, resolver = network_and_resolver(shape[3])
    resolver.super_resolve(tf.constant(make_scan(shape[:3], shape[3]).array))
    assert len(counted) > 5 * (max(shape[0], 2 * shape[2]) - 10)  # slabs of one plane, five layers
    kernel_values = sum(kernel.size for kernel in network.get_weights()[0::2])
    assert sum(counted) == kernel_values * shape[0] * shape[1] * 2 * shape[2]


def test_no_slab_grows_by_all_planes_that_the_layers_have_fallen_behind(monkeypatch, counted):
    """Neither the first nor the last, or they would decide how much memory a scan needs."""
    monkeypatch.setattr(streaming, "SLAB_BYTES", 1)
    monkeypatch.setattr(streaming, "LAYERS_AT_ONCE", 3)
    network, resolver = network_and_resolver(1, convolutions=12)
    resolver.super_resolve(tf.constant(make_scan((40, 4, 3), 1).array))
    kernel_values = max(kernel.size for kernel in network.get_weights()[0::2])
    longest = max(counted) // (kernel_values * 4 * 6)
    assert longest == 3  # planes of one layer: slabs are of one plane, the ends of three


@pytest.mark.parametrize(("precision", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_low_precision_errs_only_by_rounding_the_residual(monkeypatch, precision, bits):
    monkeypatch.setattr(streaming, "SLAB_BYTES", 20_000)
    _, resolver = network_and_resolver(2)
    thick = tf.constant(make_scan((17, 9, 5), 2).array)
    exact, rounded = (
        resolver.super_resolve(thick, precision=p).numpy() for p in ("float32", precision)
    )
    residual = np.abs(exact - slices.interpolate(thick.numpy(), 2)).max()
    error = np.abs(rounded - exact).max()
    # 9 roundings of it on CPUs without AVX-512, where the sums of a convolution are rounded too.
    assert 0 < error < 12 * 2.0**-bits * residual
    for variable in resolver.kernels + resolver.biases:
        variable.assign(tf.zeros_like(variable))
    untouched = resolver.super_resolve(thick, precision=precision)
    np.testing.assert_allclose(untouched, slices.interpolate(thick.numpy(), 2), rtol=1e-5, atol=0.1)


@pytest.mark.parametrize("profile", ["fir", "box"])
@pytest.mark.parametrize("thick_slices", [1, 2, 3, 48])
def test_graph_interpolation_equals_the_numpy_one(thick_slices, profile):
    thick = make_scan((3, 2, thick_slices), 2).array
    for factor in (2, 3, 4):
        first = slices.first_slice(profile, factor)
        np.testing.assert_allclose(
            streaming._interpolate(tf.constant(thick), factor, first),
            slices.interpolate(thick, factor, first=first),
            atol=2e-3,
        )


@pytest.mark.parametrize("profile", slices.Profile)
def test_thickened_slices_come_back_where_they_were(profile):
    """A sine along slices, thickened by each profile, is restored without any delay."""
    wave = 2 * np.pi * np.arange(96) / 12
    fine = np.broadcast_to(500 + 300 * np.sin(wave), (3, 4, 96))[..., None].astype(np.float32)
    network, _ = network_and_resolver(1)
    untouched = [np.zeros_like(values) for values in network.get_weights()]
    resolver = SuperResolver(untouched, 2, first_slice=slices.first_slice(profile, 2))
    thick = slices.thicken(fine, 2, profile=profile)
    line = resolver.super_resolve(tf.constant(thick)).numpy()[1, 1, 24:72, 0]
    delay = np.angle(np.vdot(np.exp(1j * wave[24:72]), line - line.mean()) / -1j) * 12 / 2 / np.pi
    assert delay == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("size", [1, 2, 999, 1000, 1001, 54_321])
def test_graph_scale_equals_the_numpy_one(size):
    values = np.random.default_rng(size).normal(0, 1, size).astype(np.float32) + 5
    expected = intensity_scale(values)
    assert float(streaming._intensity_scale(tf.constant(values))) == pytest.approx(expected)


def test_scale_of_the_scan_is_the_scale_of_the_result():
    _, resolver = network_and_resolver(2)
    thick = make_scan((8, 8, 4), 2).array
    once, thousandfold = (resolver.super_resolve(tf.constant(s * thick)) for s in (1.0, 1000.0))
    np.testing.assert_allclose(1000 * once, thousandfold, rtol=1e-4, atol=1)


def test_a_scan_of_zeros_gives_numbers():
    _, resolver = network_and_resolver(1)
    assert np.isfinite(resolver.super_resolve(tf.zeros((8, 8, 4, 1)))).all()


@pytest.mark.parametrize("blocks", [SINGLE_VOXEL, (2, 2, 2)])
def test_saved_model_needs_only_tensorflow_and_gives_the_same_voxels(tmp_path, blocks):
    _, resolver = network_and_resolver(2, blocks=blocks)
    save_graph(resolver, tmp_path)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for shape in ((2, 12, 9, 3, 2), (1, 5, 40, 7, 2)):
        volumes = np.stack([make_scan(shape[1:4], seed=n).array for n in range(shape[0])])
        served = serve(volume=tf.constant(volumes))["super_resolved"].numpy()
        assert served.shape == (*shape[:3], 2 * shape[3], 2)
        for volume, result in zip(volumes, served, strict=True):
            expected = resolver.super_resolve(tf.constant(volume))
            np.testing.assert_allclose(result, expected, atol=1e-4 * 3000)


def test_a_scan_of_another_size_needs_no_new_graph():
    _, resolver = network_and_resolver(1)
    resolver.super_resolve(tf.constant(make_scan((30, 6, 3), 1).array))
    traced = streaming.convolution.cache_info().misses
    resolver.super_resolve(tf.constant(make_scan((8, 20, 9), 1).array))
    assert streaming.convolution.cache_info().misses == traced


def test_progress_counts_planes():
    _, resolver = network_and_resolver(1)
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(streaming, "SLAB_BYTES", 4 * 4 * 6 * 6)
        resolver.super_resolve(tf.constant(make_scan((30, 6, 3), 1).array), seen.append)
    assert 20 < sum(seen) <= 30


def test_a_layer_keeps_its_planes_before_it_convolves():
    """Otherwise, on a busy machine, whole slabs stay in memory until their planes are gathered."""
    convolve = streaming.convolution((3, 3), tf.float32, activated=True, is_last=False)
    operations = convolve.graph.get_operations()
    (convolved,) = (operation for operation in operations if operation.type == "Conv3D")
    before, waiting = set(), [convolved]
    while waiting:
        operation = waiting.pop()
        before.add(operation)
        ahead = {*operation.control_inputs, *(tensor.op for tensor in operation.inputs)}
        waiting += ahead - before
    assert "GatherV2" in {operation.type for operation in before}


MEMORY = """
import resource
import numpy as np
import tensorflow as tf
from mrsr_tf.network import streaming
from mrsr_tf.network.architecture import build_model

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

streaming.SLAB_BYTES = 16 * 2**20
resolver = streaming.SuperResolver(build_model(1, convolutions=16, filters=16).get_weights(), 2)
resolver.super_resolve(tf.zeros((40, 40, 4, 1)))
before = peak_mb()
resolver.super_resolve(tf.zeros((320, 100, 20, 1)))
print(peak_mb() - before)
"""


def test_memory_is_a_few_slabs_whatever_the_number_of_layers():
    """16 layers of 16 MB slabs: kept whole they would be half a gigabyte."""
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert float(result.stdout) < 200, result.stderr
