"""Figures and images of them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from optcore.errors import MissingLibraryError

__all__ = ["Figure", "image_bytes", "show_image"]

IMAGES = ("png", "svg", "pdf", "jpeg", "jpg", "webp")


class Figure(go.Figure):  # type: ignore[misc]  # plotly has no types
    """A plotly figure that can show itself as an image in a plain script too."""

    def show(self, *args: Any, **kwargs: Any) -> Any:
        """As plotly's; image renderers work without IPython and say what is missing."""
        renderer = kwargs.get("renderer")
        if renderer in IMAGES and not _in_notebook():
            return show_image(self, renderer)
        return super().show(*args, **kwargs)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has imported it
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def show_image(figure: Any, kind: str) -> Path:
    """Write the figure as an image to a temporary file, say where, and return the path.

    Raises:
        MissingLibraryError: kaleido, or a browser for it, isn't installed; says what to install.
    """
    data = image_bytes(figure, kind)
    with tempfile.NamedTemporaryFile(prefix="optcore-", suffix=f".{kind}", delete=False) as file:
        file.write(data)
    print(f"figure written to {file.name}")
    return Path(file.name)


def image_bytes(figure: Any, kind: str) -> bytes:
    """The figure as an image (png, svg, pdf ...).

    Raises:
        MissingLibraryError: kaleido, or a browser for it, isn't installed; says what to install.
    """
    try:
        import kaleido  # noqa: F401  plotly looks for it only when it has begun
    except ImportError as error:
        raise MissingLibraryError(
            f"a figure as {kind} needs kaleido: pip install 'optcore[figures]', and Chrome or Chromium"
        ) from error
    try:
        data: bytes = figure.to_image(format=kind)
    except (RuntimeError, ValueError) as error:
        if "hrome" not in str(error):
            raise
        raise MissingLibraryError(
            f"a figure as {kind} needs Chrome or Chromium: install it (Debian: apt install chromium; "
            "or run plotly_get_chrome), or use fig.write_html(...)"
        ) from error
    return data
