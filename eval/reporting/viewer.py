"""The report's viewer of the boxes that an evaluation saved of a subject."""

from eval.methods import NETWORK
from eval.reporting.figures import display_order, heading
from eval.reporting.style import method_name
from eval.results.planes import IMAGES, T2_MAPS, load_pictures
from eval.results.rows import Results
from mrsr_tf.viewing.boxes import GAMMA, WHITE
from mrsr_tf.viewing.overlays import t2_overlay
from mrsr_tf.viewing.viewer import Viewer, build_viewer

THICK = "thick"


def subject_viewer(results: Results, subject: str) -> Viewer | None:
    """The viewer of a subject; None where the evaluation saved no boxes.

    The volumes are in the order of figures, but the thick scan comes first. A T2 map without an
    image of its own is shown on the first image.
    """
    pictures = load_pictures(results.pictures_path(subject))
    if IMAGES not in pictures:
        return None
    images = pictures[IMAGES].panels
    maps = pictures[T2_MAPS].panels if T2_MAPS in pictures else {}
    names = sorted(display_order({**images, **maps}), key=lambda name: name != THICK)
    display_name = method_name if maps else heading
    overlay = "T2 of the regions is overlaid; the true T2 lies on the thick scan. " if maps else ""
    return build_viewer(
        results.experiment,
        {name: display_name(name) for name in names},
        images,
        [t2_overlay(maps)] if maps else [],
        spacing_mm=pictures[IMAGES].spacing_mm,
        white=WHITE,
        selected=NETWORK if NETWORK in names else names[0],
        caption=f"A part of {subject} in three planes. {overlay}All images of an echo share one "
        f"window (gamma {GAMMA:g}).",
    )
