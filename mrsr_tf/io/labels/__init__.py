"""Labels of regions, drawn on any grid, on the grid of a scan."""

from mrsr_tf.io.labels.formats import labels_path, read_labels
from mrsr_tf.io.labels.label_map import Label, LabelMap

__all__ = ["Label", "LabelMap", "labels_path", "read_labels"]
