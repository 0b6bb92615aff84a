"""Lines can be told apart: with any colour vision, in grey print, and whatever else is drawn."""

from __future__ import annotations

import itertools

import numpy as np
import plotly.graph_objects as go
import pytest
from numpy.typing import NDArray

from optcore.plots.styles import COLOURS, DASHES, MUTED, SYMBOLS, TONES, family_styles, line_style

Floats = NDArray[np.float64]

#: Machado, Oliveira & Fernandes (2009), IEEE Trans. Vis. Comput. Graph. 15(6), table 1, severity 1.0; linear RGB.
COLOUR_VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
#: Linear sRGB to XYZ, white point D65 (IEC 61966-2-1).
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> Floats:
    encoded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: str = "normal") -> Floats:
    """CIELAB (CIE 15:2004) of a colour as seen."""
    seen = np.clip(COLOUR_VISION[vision] @ linear(colour), 0, 1)
    ratio = XYZ @ seen / WHITE
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def smallest_distance(colours: tuple[str, ...], vision: str) -> float:
    points = [lab(colour, vision) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(points, 2))


def test_the_yardstick_itself_agrees_with_known_values():
    # White, and sRGB red, whose CIELAB coordinates under D65 are (53.24, 80.09, 67.20).
    np.testing.assert_allclose(lab("#FFFFFF"), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab("#FF0000"), [53.24, 80.09, 67.20], atol=0.02)
    # Red and green are confused by those without one of the two pigments, blue and yellow are not.
    for vision in ("protanopia", "deuteranopia"):
        red_green = np.linalg.norm(lab("#B00000", vision) - lab("#5A6000", vision))
        assert red_green < np.linalg.norm(lab("#B00000") - lab("#5A6000")) / 3
        assert np.linalg.norm(lab("#0000FF", vision) - lab("#FFFF00", vision)) > 100


@pytest.mark.parametrize("vision", COLOUR_VISION)
@pytest.mark.parametrize("colours", [COLOURS, TONES], ids=["hues", "tones"])
def test_any_two_colours_are_far_apart_with_any_colour_vision(colours, vision):
    # 2.3 is what an eye can just tell apart side by side (Mahy et al. 1994); thin lines apart need several times that.
    assert smallest_distance(colours, vision) > 16


def test_a_palette_with_a_known_fault_is_found_out():
    # Wine and dark grey look the same to those with deuteranopia.
    assert smallest_distance(("#882255", "#555555"), "deuteranopia") < 2


def test_colours_stand_out_from_white_and_what_is_muted_does_not():
    def contrast(colour: str) -> float:  # WCAG 2
        return float(1.05 / (XYZ[1] @ linear(colour) + 0.05))

    assert min(map(contrast, COLOURS + TONES)) > 2
    assert contrast(MUTED) < 1.6


def test_neighbours_in_the_palette_and_tones_of_a_hue_differ_in_lightness():
    lightness = np.array([lab(colour)[0] for colour in COLOURS])
    assert np.abs(np.diff(lightness)).min() > 15
    assert np.abs(lightness - [lab(colour)[0] for colour in TONES]).min() > 13


def test_the_two_tones_are_of_one_hue():
    for colour, tone in zip(COLOURS, TONES, strict=True):
        (_, a, b), (_, c, d) = lab(colour), lab(tone)
        if np.hypot(a, b) < 5:  # black and grey have none
            assert np.hypot(c, d) < 5
        else:
            angle = np.degrees(np.arctan2(b, a) - np.arctan2(d, c))
            assert abs((angle + 180) % 360 - 180) < 13


def test_in_grey_no_two_lines_of_twelve_families_with_twelve_members_are_the_same():
    styles = [line_style(family, member) for family in range(12) for member in range(12)]
    assert len({(style.dash, style.symbol) for style in styles}) == 144
    assert len(set(DASHES)) == len(SYMBOLS) == len(set(SYMBOLS)) == 12


def test_every_dash_pattern_has_another_rhythm():
    # Plotly's names in pixels at a width of 3 or less (its drawing/index.js).
    names = {"solid": "1,0", "dot": "3,3", "dash": "9,9", "longdash": "15,15", "dashdot": "9,3,3,3"}
    names["longdashdot"] = "15,6,3,6"

    def drawn(dash: str) -> Floats:
        """Ink along 600 pixels, averaged over 2: what a reader sees, whatever the phase."""
        lengths = [float(part.removesuffix("px")) for part in names.get(dash, dash).split(",")]
        pattern = np.concatenate([np.full(int(n), i % 2 == 0, dtype=float) for i, n in enumerate(lengths)])
        return np.abs(np.fft.rfft(np.resize(pattern, 600)))[:150] / 600

    rhythms = [drawn(dash) for dash in DASHES]
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(rhythms, 2)) > 0.05


def test_plotly_takes_every_style():
    for family, member in itertools.product(range(12), range(12)):
        style = line_style(family, member)
        go.Scatter(line={"color": style.color, "dash": style.dash}, marker={"symbol": style.symbol})


PAIRS = [(a, d) for a in ("bfgs", "slsqp", "lm") for d in ("analytic", "forward", "central")] + [("simplex", "none")]
EVERYTHING = {f"{a} [{d}]": (a, d) for a, d in PAIRS}


def test_a_line_looks_the_same_whatever_subset_is_drawn_and_in_whatever_order():
    all_of_them = family_styles(EVERYTHING)
    rng = np.random.default_rng(0)
    for _ in range(50):
        names = rng.permutation(list(EVERYTHING))[: rng.integers(1, len(EVERYTHING) + 1)]
        drawn = family_styles({str(name): EVERYTHING[name] for name in names}, PAIRS)
        assert list(drawn) == list(names)
        assert drawn == {name: all_of_them[name] for name in names}


def test_members_share_the_hue_and_families_the_dash_and_a_solver_without_derivatives_is_solid():
    styles = family_styles(EVERYTHING)
    hues = {colour: i for tones in (COLOURS, TONES) for i, colour in enumerate(tones)}
    hue = {name: hues[style.color] for name, style in styles.items()}
    assert hue["slsqp [analytic]"] == hue["slsqp [forward]"] == hue["slsqp [central]"] == 1
    assert styles["bfgs [forward]"].dash == styles["lm [forward]"].dash == "dash"
    assert styles["simplex [none]"].dash == "solid"
    both = family_styles({"a": ("x", "none"), "b": ("x", "forward")})
    assert both["a"].dash != both["b"].dash
