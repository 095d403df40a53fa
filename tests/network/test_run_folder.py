import dataclasses
import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
from random_scans import make_scan
from small_runs import MANIFEST, make_run

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.inference.super_resolution import Network
from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import build_model
from mrsr_tf.network.model_card import CARD
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.outputs import CONFIGURATION, exclusive_lock


@pytest.fixture
def finished(tmp_path):
    return make_run(tmp_path / "run")


def test_a_run_loads_with_its_factor_echoes_and_card(finished):
    model = load_model(finished)
    assert (model.slice_factor, model.echoes, model.name) == (2, 2, "run")
    assert model.card["records"] == MANIFEST
    assert model.card["configuration"] == {"seed": 1}


def test_an_export_gives_the_runs_weights_card_and_voxels(finished, tmp_path):
    model = load_model(finished)
    model.export(tmp_path / "exported")
    exported = load_model(tmp_path / "exported")
    assert exported.weights_sha256 == model.weights_sha256
    assert exported.card["records"] == MANIFEST
    one, other = Network(model)(make_scan()).volume, Network(exported)(make_scan()).volume
    np.testing.assert_allclose(one.array, other.array, rtol=1e-5)


def test_super_resolution_keeps_the_origin_and_divides_the_slice_spacing(finished):
    thick = make_scan()
    fine = Network(load_model(finished))(thick).volume
    assert fine.array.shape == (10, 9, 8, 2)
    np.testing.assert_allclose(fine.spacing_mm, [0.4, 0.4, 0.75])
    np.testing.assert_array_equal(fine.affine[:, 3], thick.affine[:, 3])
    assert fine.echo_times_ms == thick.echo_times_ms


def test_an_untouched_network_gives_the_interpolated_scan(tmp_path):
    """Without a residual nothing is scaled, shifted or clipped, at the ends neither."""
    from mrsr_tf.mri.slices import interpolate

    run_dir = make_run(tmp_path / "run")
    network = run_folder.load_network(run_dir)
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    run_folder.finish(network, run_dir)
    thick = make_scan((10, 9, 5))
    fine = Network(load_model(run_dir))(thick).volume.array
    np.testing.assert_allclose(fine, interpolate(thick.array), atol=1e-3)


def test_a_scan_of_other_echoes_is_refused(finished):
    with pytest.raises(InputError, match=r"expected a scan of 2 echoes.*got one of 1"):
        Network(load_model(finished))(make_scan(echoes=1))


def test_a_network_of_slices_between_fine_ones_shifts_nothing(finished):
    """A ramp along slices has at every patient position the value it had there before."""
    manifest = {**MANIFEST, "thickening": {"profile": "box", "first_slice": 0.5}}
    (finished / "manifest.json").write_text(json.dumps(manifest))
    network = run_folder.load_network(finished)
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    run_folder.finish(network, finished)
    thick = make_scan((10, 9, 24))
    ramp = 100 + 10 * np.arange(24)[:, None]
    thick = dataclasses.replace(thick, array=np.broadcast_to(ramp, thick.array.shape))
    fine = Network(load_model(finished))(thick).volume
    there = fine.affine[2, 3] + fine.affine[2, 2] * np.arange(48)
    assert there[0] == pytest.approx(-0.375)
    inner = slice(12, 36)  # the mirrored ends bend the ramp
    np.testing.assert_allclose(fine.array[3, 3, inner, 0], 100 + 10 * there[inner] / 1.5, rtol=1e-4)


@pytest.mark.parametrize("exported", [False, True])
def test_a_network_of_several_factors_is_loaded_for_any_of_them(finished, tmp_path, exported):
    sets = [{**MANIFEST, "slice_factor": factor} for factor in (3, 2)]
    (finished / "manifest.json").write_text(json.dumps({**MANIFEST, "sets": sets}))
    folder = finished
    if exported:
        folder = tmp_path / "exported"
        load_model(finished).export(folder)
    assert load_model(folder).slice_factor == 2
    assert Network(load_model(folder, slice_factor=3))(make_scan()).volume.array.shape == (
        10,
        9,
        12,
        2,
    )
    with pytest.raises(InputError, match=r"expected --slice_factor=2 or 3, .* got 4"):
        load_model(folder, slice_factor=4)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"filters": 8}, "of filters 8, found one of 4"),
        ({"convolutions": 20}, "of convolutions 20, found one of 3"),
        ({"space_to_depth": "2x2x2"}, "of space_to_depth 2x2x2, found one of 1x1x1"),
        ({"contrasts": "single"}, "of contrasts single, found one of dual"),
    ],
)
def test_a_network_of_another_architecture_than_the_runs_is_refused(tmp_path, setting, words):
    run_dir = make_run(tmp_path / "run", configuration=setting)
    with pytest.raises(InputError, match=f"expected the network of its run, {words}: .*model"):
        run_folder.load_network(run_dir)
    (run_dir / run_folder.TRAINED).rename(run_dir / run_folder.CHECKPOINT)
    with pytest.raises(InputError, match=f"{words}: .*checkpoint"):
        run_folder.load_network(run_dir, checkpoint=True)


def test_a_checkpoint_without_an_optimizer_is_refused(finished):
    build_model(2, convolutions=3, filters=4).save(finished / run_folder.CHECKPOINT)
    with pytest.raises(InputError, match=r"with its optimizer, found none in it: .*checkpoint"):
        run_folder.load_network(finished, checkpoint=True)


def test_an_unfinished_run_and_a_missing_one_have_their_own_messages(finished, tmp_path):
    (finished / run_folder.TRAINED).unlink()
    with pytest.raises(InputError, match="training is unfinished"):
        load_model(finished)
    with pytest.raises(InputError, match="found none there"):
        load_model(tmp_path / "nowhere")


def damage(path, how):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"not a network")


@pytest.mark.parametrize("how", ["truncated", "foreign"])
def test_a_damaged_network_is_refused_by_name(finished, how):
    damage(finished / run_folder.TRAINED, how)
    with pytest.raises(InputError, match=r"could not read it.*model\.keras"):
        load_model(finished)


@pytest.mark.parametrize("name", ["saved_model.pb", CARD, "variables/variables.index"])
def test_a_damaged_export_is_refused(finished, tmp_path, name):
    exported = tmp_path / "exported"
    load_model(finished).export(exported)
    damage(exported / name, "truncated")
    with pytest.raises(InputError, match=r"expected (an exported network|a JSON object)"):
        load_model(exported)


def test_an_export_whose_weights_were_swapped_is_refused(finished, tmp_path):
    for name, seed in (("one", 1), ("other", 2)):
        load_model(make_run(tmp_path / f"run_{name}", seed=seed)).export(tmp_path / name)
    shutil.rmtree(tmp_path / "one" / "variables")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "one" / "variables")
    with pytest.raises(
        InputError, match=r"the weights \w+ that card\.json names, found \w+: .*one"
    ):
        load_model(tmp_path / "one")


def test_a_network_of_another_kind_is_refused(finished):
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(finished / run_folder.TRAINED)
    with pytest.raises(InputError, match="network of 3-D convolutions"):
        load_model(finished)


def opened(run_dir, configuration, *, overwrite=False):
    return run_folder.open_run(run_dir, configuration, MANIFEST, "", overwrite=overwrite)


def test_a_run_is_resumed_only_by_its_own_configuration(tmp_path):
    run_dir, other = tmp_path / "run", {"seed": 1, "epochs": 3}
    for _ in range(2):
        with opened(run_dir, {"seed": 1, "epochs": 2}):
            pass
    with pytest.raises(InputError, match="epochs 2 -> 3"), opened(run_dir, other):
        pass
    with opened(run_dir, other, overwrite=True):
        assert json.loads((run_dir / CONFIGURATION).read_text())["epochs"] == 3


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_run_that_another_process_trains_is_left_alone(tmp_path, new, overwrite):
    run_dir, configuration = tmp_path / "run", {"seed": 1}
    if not new:
        with opened(run_dir, configuration):
            pass
    with opened(run_dir, configuration):
        before = sorted(path.name for path in run_dir.iterdir())
        second = opened(run_dir, configuration, overwrite=overwrite)
        with pytest.raises(InputError, match=r"found one that uses .*run"), second:
            pass
        assert sorted(path.name for path in run_dir.iterdir()) == before
    assert list(tmp_path.iterdir()) == [run_dir]
    with opened(run_dir, configuration, overwrite=overwrite):
        pass


def test_two_processes_do_not_make_one_run_folder(tmp_path):
    aside = tmp_path / "run.partial"
    aside.mkdir()
    with (
        exclusive_lock(aside),
        pytest.raises(InputError, match=r"no other process, found one that uses .*run\.partial"),
        opened(tmp_path / "run", {}),
    ):
        pass
    assert list(aside.iterdir()) == []


def test_a_finished_run_has_nothing_left_to_do(finished):
    with pytest.raises(AlreadyDone, match="is finished"), opened(finished, {"seed": 1}):
        pass


def test_overwrite_does_not_remove_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(InputError, match="without a readable configuration"),
        opened(tmp_path, {}, overwrite=True),
    ):
        pass
    assert (tmp_path / "thesis.tex").exists()


def stop_training(run_dir, configuration, *names):
    """A training with --overwrite that is interrupted after it has written these files."""
    with suppress(KeyboardInterrupt), opened(run_dir, configuration, overwrite=True):
        for name in names:
            (run_dir / name).write_text("new")
        raise KeyboardInterrupt


def seed_of(run_dir):
    return json.loads((run_dir / CONFIGURATION).read_text())["seed"]


def test_an_older_run_comes_back_if_the_new_one_has_no_checkpoint(finished, tmp_path):
    (finished / "notes.md").write_text("mine")
    stop_training(finished, {"seed": 2})
    assert seed_of(finished) == 1
    assert load_model(finished).echoes == 2
    assert (finished / "notes.md").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [finished]


def test_an_older_run_is_kept_until_the_new_one_is_trained(finished, tmp_path):
    (finished / "notes.md").write_text("mine")
    (finished / "logs").mkdir()
    (finished / "logs" / "events.out.tfevents.1").write_text("old")
    aside = tmp_path / "run.replaced"
    stop_training(finished, {"seed": 2}, run_folder.CHECKPOINT)
    assert (seed_of(finished), seed_of(aside)) == (2, 1)
    assert load_model(aside).echoes == 2
    stop_training(finished, {"seed": 3}, run_folder.CHECKPOINT)  # starts anew once more
    assert (seed_of(finished), seed_of(aside)) == (3, 1)
    with opened(finished, {"seed": 3}):  # resumes
        (finished / run_folder.CHECKPOINT).rename(finished / run_folder.TRAINED)
    assert seed_of(finished) == 3
    assert (finished / "notes.md").read_text() == "mine"
    assert not (finished / "logs").exists()
    assert list(tmp_path.iterdir()) == [finished]


@pytest.mark.parametrize("name", ["logs", "best"])
def test_a_file_in_place_of_a_folder_of_the_run_is_refused(tmp_path, name):
    with opened(tmp_path / "run", {"seed": 1}):
        pass
    (tmp_path / "run" / name).write_text("mine")
    with pytest.raises(InputError, match=f"expected a folder, found a file: .*{name}"):
        run_folder.check_run(tmp_path / "run", {"seed": 1})
