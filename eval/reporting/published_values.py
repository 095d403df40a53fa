"""Tables 1 and 2 of the paper, shown beside our values.

Chaudhari et al., Deep learning super-resolution enables rapid simultaneous morphological and
quantitative magnetic resonance imaging, 2018.
"""

from typing import NamedTuple


class Published(NamedTuple):
    """Mean and SD over subjects, and whether the paper stars it (p < 0.05 against MRSR)."""

    paper_mean: float
    paper_sd: float
    paper_starred: bool


def _published(text: str) -> Published:
    mean, _, sd = text.rstrip("*").partition(" ± ")
    return Published(float(mean), float(sd), text.endswith("*"))


def _row(*values: str) -> dict[str, Published]:
    return dict(zip(("mrsr", "tci", "fi", "scsr"), map(_published, values), strict=True))


# Table 1 by (metric, echo). The values printed as RMSE x 10^3 are MSE x 10^3: a pSNR of 37.7 dB is
# an MSE of 10^-3.77 = 0.17e-3 (0.18 is printed) and an RMSE of 13e-3.
TABLE_1 = {
    ("ssim", 1): _row("0.98 ± 0.01", "0.95 ± 0.02*", "0.92 ± 0.02*", "0.97 ± 0.01*"),
    ("ssim", 2): _row("0.98 ± 0.01", "0.96 ± 0.02*", "0.95 ± 0.02*", "0.97 ± 0.01"),
    ("psnr_db", 1): _row("37.7 ± 1.5", "32.5 ± 3.6*", "32.4 ± 2.8*", "36.6 ± 1.1"),
    ("psnr_db", 2): _row("38.7 ± 2.0", "33.6 ± 4.2", "33.6 ± 3.5*", "37.5 ± 1.6"),
    ("mse", 1): _row(
        "0.18e-3 ± 0.06e-3", "0.72e-3 ± 0.56e-3*", "0.69e-3 ± 0.47e-3*", "0.22e-3 ± 0.05e-3"
    ),
    ("mse", 2): _row(
        "0.13e-3 ± 0.04e-3", "0.51e-3 ± 0.40e-3", "0.47e-3 ± 0.34e-3*", "0.16e-3 ± 0.05e-3"
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
