"""Scan protocols and the sequence parameters that the signal equations need."""

from dataclasses import dataclass, replace

SPOILER_AREA, SPOILER_DURATION_US = 3132.0, 1560.0  # the area in the units of GE's header


@dataclass(frozen=True)
class Sequence:
    """A DESS sequence; the spoiler area is 0 where spins do not diffuse."""

    tr_ms: float
    te_ms: tuple[float, float]
    flip_deg: float
    diffusivity_m2_per_s: float = 0.0
    spoiler_area: float = 0.0
    spoiler_duration_us: float = 0.0


# UIDs are derived from the repr of a protocol: another name of a field changes all of them.
@dataclass(frozen=True)
class Protocol:
    """A scan protocol.

    Attributes:
        name: as `--protocol` takes it.
        shape: rows, columns and slices.
        spacing_mm: of rows, columns and slices.
        tr_ms: repetition time.
        te_ms: both echo times.
        flip_deg: flip angle.
        snr: range from which the S1 signal-to-noise ratio of cartilage is sampled.
        combined: whether the echoes are combined to one image, the root of the sum of squares.
        phase_fraction: acquired fraction of k-space along the phase-encoded columns.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    tr_ms: float
    te_ms: tuple[float, float]
    flip_deg: float
    snr: tuple[float, float]
    combined: bool = False
    phase_fraction: float = 0.9

    def sequence(self, diffusivity_m2_per_s: float) -> Sequence:
        """The sequence of this protocol, without a spoiler where the diffusivity is 0."""
        spoiler = (SPOILER_AREA, SPOILER_DURATION_US) if diffusivity_m2_per_s else (0.0, 0.0)
        return Sequence(self.tr_ms, self.te_ms, self.flip_deg, diffusivity_m2_per_s, *spoiler)


HIGH_RESOLUTION = Protocol(
    name="high_resolution",
    shape=(416, 416, 160),
    spacing_mm=(160 / 416, 160 / 416, 0.7),
    tr_ms=23.0,
    te_ms=(7.0, 39.0),
    flip_deg=20.0,
    snr=(45.0, 80.0),
)
THICK = replace(
    HIGH_RESOLUTION,
    name="thick",
    shape=(416, 416, 72),
    spacing_mm=(160 / 416, 160 / 416, 1.6),
    snr=(35.0, 50.0),
)
SINGLE_CONTRAST = Protocol(
    name="single_contrast",
    shape=(384, 384, 160),
    spacing_mm=(140 / 384, 140 / 384, 0.7),
    tr_ms=16.3,
    te_ms=(4.7, 27.9),
    flip_deg=25.0,
    snr=(50.0, 80.0),
    combined=True,
)
SHORT_TR = Protocol(
    name="short_tr",
    shape=(320, 320, 128),
    spacing_mm=(0.5, 0.5, 0.8),
    tr_ms=17.9,
    te_ms=(5.7, 30.1),
    flip_deg=20.0,
    snr=(25.0, 40.0),
)
PROTOCOLS = {
    protocol.name: protocol for protocol in (HIGH_RESOLUTION, THICK, SINGLE_CONTRAST, SHORT_TR)
}
