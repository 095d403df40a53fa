"""Blocks of voxels as channels and back, as `tf.nn.space_to_depth` does for 2-D images."""

import math
from typing import Any, Self

import keras
from keras import layers, ops

# Rows, columns and slices of voxels in one block.
BlockShape = tuple[int, int, int]
SINGLE_VOXEL: BlockShape = (1, 1, 1)

# (batch, cell row, row in block, cell column, ..., channel) to all cell axes before all block axes.
_TO_CELLS = [0, 1, 3, 5, 2, 4, 6, 7]
_TO_VOXELS = [0, 1, 4, 2, 5, 3, 6, 7]


@keras.saving.register_keras_serializable(package="mrsr_tf")
class SpaceToDepth(layers.Layer):
    """Turns each block of voxels into the channels of one cell of a coarser grid.

    Input (batch, rows, cols, slices, channels); output (batch, cells along rows, along columns,
    along slices, voxels per block * channels). Sizes that the block does not divide are mirrored
    at their end. The new channels count the rows, then the columns, then the slices of the block,
    with the old channels fastest.
    """

    def __init__(self, block_shape: BlockShape, **kwargs: Any) -> None:
        """Creates the layer for blocks of (rows, columns, slices) voxels."""
        super().__init__(**kwargs)
        rows, columns, slices = block_shape
        self.block_shape: BlockShape = (rows, columns, slices)

    def call(self, voxels: Any) -> Any:
        """Rearranges voxels into cells."""
        shape, block = ops.shape(voxels), self.block_shape
        padding = [(0, -n % b) for n, b in zip(shape[1:4], block, strict=True)]
        voxels = ops.pad(voxels, [(0, 0), *padding, (0, 0)], mode="symmetric")
        cells = [-(-n // b) for n, b in zip(shape[1:4], block, strict=True)]
        split_axes = [size for pair in zip(cells, block, strict=True) for size in pair]
        blocks = ops.reshape(voxels, [shape[0], *split_axes, shape[4]])
        channels = math.prod(block) * shape[4]
        return ops.reshape(ops.transpose(blocks, _TO_CELLS), [shape[0], *cells, channels])

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns the shape of the cells; unknown sizes stay unknown."""
        sizes = zip(shape[1:4], self.block_shape, strict=True)
        cells = [n if n is None else -(-n // b) for n, b in sizes]
        return (shape[0], *cells, math.prod(self.block_shape) * shape[4])

    def get_config(self) -> dict[str, Any]:
        """Returns the block shape, for Keras to save."""
        return {**super().get_config(), "block_shape": self.block_shape}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates the layer; networks saved before version 1.0 call the block shape `fold`."""
        if "fold" in config:
            config["block_shape"] = config.pop("fold")
        return cls(**config)


@keras.saving.register_keras_serializable(package="mrsr_tf")
class DepthToSpace(SpaceToDepth):
    """The inverse of `SpaceToDepth`: inputs are the cells and an image of the shape to return."""

    def call(self, inputs: Any) -> Any:
        """Rearranges cells into voxels and crops what `SpaceToDepth` had mirrored."""
        cells, image = inputs
        shape, output_shape = ops.shape(cells), ops.shape(image)
        blocks = ops.reshape(cells, [*shape[:4], *self.block_shape, output_shape[4]])
        padded = [n * b for n, b in zip(shape[1:4], self.block_shape, strict=True)]
        voxels = ops.transpose(blocks, _TO_VOXELS)
        voxels = ops.reshape(voxels, [shape[0], *padded, output_shape[4]])
        return voxels[:, : output_shape[1], : output_shape[2], : output_shape[3]]

    def compute_output_shape(self, shapes: Any) -> Any:
        """Returns the shape of the second input."""
        return shapes[1]


# The names under which networks saved before version 1.0 know these layers.
keras.saving.get_custom_objects().update(
    {"mrsr_tf>FoldVoxels": SpaceToDepth, "mrsr_tf>UnfoldVoxels": DepthToSpace}
)
