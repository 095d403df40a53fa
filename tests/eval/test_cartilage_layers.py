import numpy as np
import pytest

from eval.regions import cartilage_layers
from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

CENTRE = np.array([3.0, -5.0, 7.0])
BONE_MM, JOINT_MM = 20.0, 24.0
COUNT = 90


def turned(degrees: float) -> np.ndarray:
    """A sagittal grid of 0.6 x 0.6 x 1 mm about CENTRE, turned about the left-right axis."""
    angle = np.radians(degrees)
    down = np.array([0, -np.sin(angle), -np.cos(angle)])
    back = np.array([0, np.cos(angle), -np.sin(angle)])
    axes = np.column_stack([0.6 * down, 0.6 * back, [1.0, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = CENTRE - axes @ [COUNT / 2, COUNT / 2, 6]
    return affine


def scan_of(affine: np.ndarray) -> Volume:
    return Volume(np.zeros((COUNT, COUNT, 12, 2), np.float32), affine)


def points(scan: Volume) -> np.ndarray:
    voxels = np.stack(np.meshgrid(*map(np.arange, scan.array.shape[:3]), indexing="ij"), axis=-1)
    return voxels @ scan.affine[:3, :3].T + scan.affine[:3, 3]


def femoral(scan: Volume) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A half pipe of cartilage below a bone of 20 mm: mask, distance from the axis, angle."""
    from_axis = points(scan) - CENTRE
    radius = np.hypot(from_axis[..., 1], from_axis[..., 2])
    angle = np.degrees(np.arctan2(-from_axis[..., 1], -from_axis[..., 2]))
    return (radius > BONE_MM) & (radius < JOINT_MM) & (np.abs(angle) < 80), radius, angle


@pytest.mark.parametrize("degrees", [0, 35, 180])
def test_depth_of_femoral_cartilage_is_the_distance_from_bone_in_any_orientation(degrees):
    scan = scan_of(turned(degrees))
    mask, radius, angle = femoral(scan)
    depths = cartilage_layers.depth(mask, scan, "femoral_cartilage")
    assert np.isnan(depths[~mask]).all()
    away_from_its_ends = mask & (np.abs(angle) < 65)
    expected = (radius - BONE_MM) / (JOINT_MM - BONE_MM)
    error = (depths - expected)[away_from_its_ends]
    # Distances are to voxels of 0.6 mm, which lie anywhere within one voxel of the true surface.
    assert np.abs(error).mean() < 0.06
    assert np.abs(error.mean()) < 0.03


@pytest.mark.parametrize(("cartilage", "axis"), [("lateral_tibial_cartilage", 2), ("patellar", 1)])
def test_tibial_cartilage_lies_on_its_bone_and_patellar_behind_it(cartilage, axis):
    scan = scan_of(turned(20))
    from_centre = (points(scan) - CENTRE)[..., axis]
    others = np.delete(points(scan) - CENTRE, axis, axis=-1)
    mask = (np.abs(from_centre) < 2) & (np.abs(others) < (5, 18)).all(axis=-1)
    halves = cartilage_layers.layers(mask, scan, cartilage)
    assert from_centre[halves["deep"]].mean() == pytest.approx(-1, abs=0.15)
    assert from_centre[halves["superficial"]].mean() == pytest.approx(1, abs=0.15)
    np.testing.assert_array_equal(halves["deep"] | halves["superficial"], mask)
    assert not (halves["deep"] & halves["superficial"]).any()


def test_the_cylinder_is_fitted_to_the_cartilage():
    scan = scan_of(turned(10))
    cylinder = cartilage_layers.cylinder(femoral(scan)[0], scan)
    # In a pipe 4 mm thick that is open above, the outer, larger half has more weight.
    np.testing.assert_allclose(cylinder.centre_mm, CENTRE[1:], atol=0.8)
    assert cylinder.radius_mm == pytest.approx((BONE_MM + JOINT_MM) / 2, abs=0.8)


def test_unrolled_cartilage_has_each_t2_at_its_angle_and_position():
    scan = scan_of(turned(0))
    mask, _, angle = femoral(scan)
    across = points(scan)[..., 0]
    t2 = np.where(mask, 30 + angle / 10 + (across - CENTRE[0]), np.nan)
    flat, angles, positions = cartilage_layers.unrolled(t2, mask, scan)
    angle_centres = (angles[:-1] + angles[1:]) / 2
    position_centres = (positions[:-1] + positions[1:]) / 2
    valid = np.isfinite(flat)
    assert valid.mean() > 0.95
    expected = 30 + angle_centres[:, None] / 10 + position_centres - CENTRE[0]
    assert np.abs(flat - expected)[valid].max() < 0.7  # half a bin of either edge
    assert positions[0] <= across[mask].min() <= across[mask].max() <= positions[-1]


def test_cartilage_at_the_border_of_the_scan_has_a_depth():
    scan = scan_of(turned(0))
    mask, _, _ = femoral(scan)
    cut = Volume(scan.array[:70], scan.affine)
    below = mask[:70]
    depths = cartilage_layers.depth(below, cut, "femoral")
    assert np.isfinite(depths[below]).all()


def test_an_empty_mask_is_refused():
    mask = np.zeros((COUNT, COUNT, 12), bool)
    with pytest.raises(InputError, match="empty mask"):
        cartilage_layers.depth(mask, scan_of(turned(0)), "femoral_cartilage")


def test_too_few_voxels_for_a_circle_are_refused():
    mask = np.zeros((COUNT, COUNT, 12), bool)
    mask[4, 4, 4] = mask[5, 4, 4] = True
    with pytest.raises(InputError, match="three voxels"):
        cartilage_layers.cylinder(mask, scan_of(turned(0)))
    mask[6, 4, 4] = True
    with pytest.raises(InputError, match="on a line"):
        cartilage_layers.cylinder(mask, scan_of(turned(0)))
