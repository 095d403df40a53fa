"""The floating-point formats in which the convolutions can be computed."""

from enum import StrEnum


class Precision(StrEnum):
    """Number format of the convolutions; weights, residual sum and loss are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def keras_policy(self) -> str:
        """The name of Keras' dtype policy with float32 variables."""
        return self.value if self is Precision.FLOAT32 else f"mixed_{self}"
