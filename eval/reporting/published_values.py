"""Tables 1 and 2 of the paper, shown beside our values.

Chaudhari et al., Deep learning super-resolution enables rapid simultaneous morphological and
quantitative magnetic resonance imaging, 2018.
"""

from typing import NamedTuple

METHODS = ("mrsr", "tci", "fi", "scsr")


class Published(NamedTuple):
    """Mean and SD over subjects, and whether the paper stars it (p < 0.05 against MRSR)."""

    mean: float
    sd: float
    starred: bool


def _row(*values: tuple[float, float, bool]) -> dict[str, Published]:
    return {method: Published(*value) for method, value in zip(METHODS, values, strict=True)}


# Table 1 by (metric, echo). The values printed as RMSE x 10^3 are MSE x 10^3: a pSNR of 37.7 dB is
# an MSE of 10^-3.77 = 0.17e-3 (0.18 is printed) and an RMSE of 13e-3.
TABLE_1 = {
    ("ssim", 1): _row(
        (0.98, 0.01, False), (0.95, 0.02, True), (0.92, 0.02, True), (0.97, 0.01, True)
    ),
    ("ssim", 2): _row(
        (0.98, 0.01, False), (0.96, 0.02, True), (0.95, 0.02, True), (0.97, 0.01, False)
    ),
    ("psnr_db", 1): _row(
        (37.7, 1.5, False), (32.5, 3.6, True), (32.4, 2.8, True), (36.6, 1.1, False)
    ),
    ("psnr_db", 2): _row(
        (38.7, 2.0, False), (33.6, 4.2, False), (33.6, 3.5, True), (37.5, 1.6, False)
    ),
    ("mse", 1): _row(
        (0.18e-3, 0.06e-3, False),
        (0.72e-3, 0.56e-3, True),
        (0.69e-3, 0.47e-3, True),
        (0.22e-3, 0.05e-3, False),
    ),
    ("mse", 2): _row(
        (0.13e-3, 0.04e-3, False),
        (0.51e-3, 0.40e-3, False),
        (0.47e-3, 0.34e-3, True),
        (0.16e-3, 0.05e-3, False),
    ),
}

# Table 2: cartilage T2 in ms of the paper's five subjects, in the paper's order.
T2_THICK_MS = (35.2, 42.6, 27.9, 35.3, 36.6)
T2_MS = {
    "mrsr": (35.8, 44.1, 29.1, 38.5, 38.0),
    "tci": (36.4, 44.4, 29.8, 39.5, 39.0),
    "fi": (36.1, 44.5, 29.4, 39.0, 39.2),
    "scsr": (42.4, 50.1, 35.9, 58.3, 46.7),
}
