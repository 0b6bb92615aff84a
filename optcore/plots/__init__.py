"""Plots of optimizations: compute -> an object with the numbers -> a plotly figure.

`criterion_plot` and `params_plot` draw at once; `criterion_curves` and `params_curves` return the numbers, as arrays,
as a data frame, and as a figure when asked.
"""

from optcore.plots.criterion import criterion_curves, criterion_plot
from optcore.plots.curves import Curve, Curves
from optcore.plots.figure import Figure, image_bytes, show_image
from optcore.plots.params import params_curves, params_plot
from optcore.plots.styles import COLOURS, DASHES, SYMBOLS, LineStyle, family_styles, line_style

__all__ = [
    "COLOURS",
    "DASHES",
    "SYMBOLS",
    "Curve",
    "Curves",
    "Figure",
    "LineStyle",
    "criterion_curves",
    "criterion_plot",
    "family_styles",
    "image_bytes",
    "line_style",
    "params_curves",
    "params_plot",
    "show_image",
]
