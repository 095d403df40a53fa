import numpy as np
import pytest
from small_scans import knee, write_subject

from mrsr_tf.errors import InputError
from mrsr_tf.network.architecture import build_model
from mrsr_tf.training import t2_probe
from mrsr_tf.training.t2_probe import read_t2_probe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_subject(tmp_path_factory.mktemp("known") / "knee", *knee(shape=(40, 36, 13)))


@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 2, 1)])
def test_an_untrained_network_has_the_t2_of_tci_until_its_weights_change(folder, blocks):
    probe = read_t2_probe(folder, 2)
    network = build_model(2, convolutions=3, filters=2, space_to_depth=blocks)
    tci, t2_ms = probe.tci_t2_ms(), probe.network_t2_ms(network)
    np.testing.assert_allclose(t2_ms[probe.cartilage], tci[probe.cartilage], rtol=1e-3)
    weights = network.get_weights()
    weights[-1] = np.linspace(0.05, 0.2, weights[-1].size, dtype=np.float32)
    network.set_weights(weights)
    assert np.nanmean(np.abs(probe.network_t2_ms(network) - tci)[probe.cartilage]) > 0.5
    assert tci.shape == probe.cartilage.shape == probe.true_t2_ms.shape


def test_the_true_t2_has_no_error_and_cartilage_alone_counts(folder):
    probe = read_t2_probe(folder, 2)
    assert probe.errors(probe.true_t2_ms) == {"difference_ms": 0, "error_ms": 0, "invalid": 0}
    beside = np.where(probe.cartilage, probe.true_t2_ms - 3, 99)
    assert probe.errors(beside)["error_ms"] == pytest.approx(3)
    assert probe.errors(beside)["difference_ms"] == pytest.approx(-3)
    assert set(np.unique(probe.true_t2_ms[probe.cartilage])) == {27.0, 46.0}


def test_the_box_is_bounded_and_begins_on_a_thick_slice(folder, monkeypatch):
    monkeypatch.setattr(t2_probe, "LARGEST_BOX_VOXELS", 6000)
    probe = read_t2_probe(folder, 2)
    rows, cols, slices = probe.cartilage.shape
    assert rows * cols * slices <= 8 * rows * cols
    assert slices % 2 == 0
    assert probe.thick.shape == (rows, cols, slices // 2, 2)
    assert probe.plane(probe.true_t2_ms).shape == (rows, cols)


def test_what_has_no_truth_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a scan of both echoes.*truth/"):
        read_t2_probe(write_subject(tmp_path / "bare", knee()[0]), 2)
    scan, labels, t2 = knee()
    with pytest.raises(InputError, match="expected cartilage in the subject"):
        read_t2_probe(write_subject(tmp_path / "bone", scan, 7 * (labels > 0), t2), 2)
