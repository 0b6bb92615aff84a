"""What a file of a publication says of its origin: which study, which data, by their digests.

In pictures it stands in the metadata: an SVG's `<metadata>`, a PNG's text chunk (and its resolution), a PDF's document
information; in a CSV in lines that begin with `#`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape, unescape

__all__ = ["DPI", "read_stamp", "stamped"]

#: Resolution of pictures that are made of pixels.
DPI = 300
_PNG = b"\x89PNG\r\n\x1a\n"
_KEY = "optcore"


def stamped(data: bytes, kind: str, origin: Mapping[str, str], width_cm: float) -> bytes:
    """A picture with its origin in it.

    Args:
        data: the picture as it was drawn.
        kind: "svg", "png" or "pdf".
        origin: what to say, by key.
        width_cm: how wide it is in print.

    Returns:
        The picture; the same data and origin give the same bytes.
    """
    text = "; ".join(f"{key}: {value}" for key, value in origin.items())
    return {"svg": _svg, "png": _png, "pdf": _pdf}[kind](data, text, width_cm)


def read_stamp(data: bytes) -> dict[str, str]:
    """What a stamped picture says of its origin; empty if it says nothing.

    Args:
        data: bytes of an SVG, PNG or PDF.
    """
    if data.startswith(_PNG):
        found = re.search(rb"iTXt" + _KEY.encode() + rb"\x00{5}(.*?); end", data, re.DOTALL)
    elif data.startswith(b"%PDF"):
        hexadecimal = re.search(rb"/Keywords <FEFF([0-9A-F]*)>", data)
        text = bytes.fromhex(hexadecimal[1].decode()).decode("utf-16-be") if hexadecimal else ""
        found = re.search(rb"(.*?); end", text.encode(), re.DOTALL)
    else:
        found = re.search(rb"<metadata>(.*?); end</metadata>", data, re.DOTALL)
    text = found[1].decode() if found else ""
    pairs = (unescape(text) if data.lstrip().startswith(b"<") else text).split("; ") if text else []
    return dict(pair.split(": ", 1) for pair in pairs)


def _svg(data: bytes, text: str, width_cm: float) -> bytes:
    head, tag, rest = _root_of_svg(_with_steady_ids(data.decode()))
    size = re.search(r'\bwidth="([\d.]+)" height="([\d.]+)"', tag)
    if size:
        height_cm = width_cm * float(size[2]) / float(size[1])
        tag = tag.replace(size[0], f'width="{width_cm:g}cm" height="{height_cm:.3f}cm"')
    return f"{head}{tag}<metadata>{escape(text)}; end</metadata>{rest}".encode()


def _with_steady_ids(text: str) -> str:
    """Let the six digits that plotly draws for each picture and trace follow from what is in the picture."""
    drawn = dict.fromkeys(re.findall(r'\bid="defs-([0-9a-f]{6})"|\btrace([0-9a-f]{6})"', text))
    numbers = {first or second: number for number, (first, second) in enumerate(drawn)}
    if not numbers:
        return text
    attributes = re.compile(r'\b(?:id|class)="[^"]*"|\burl\([^)]*\)|\bhref="#[^"]*"')
    digits = re.compile("|".join(numbers))

    def renamed(name: Callable[[int], str]) -> str:
        return attributes.sub(lambda found: digits.sub(lambda old: name(numbers[old[0]]), found[0]), text)

    content = zlib.crc32(renamed(str).encode())
    return renamed(lambda number: f"{(content + number) & 0xFFFFFF:06x}")


def _root_of_svg(text: str) -> tuple[str, str, str]:
    start = text.index("<svg")
    end = text.index(">", start) + 1
    return text[:start], text[start:end], text[end:]


def _png(data: bytes, text: str, width_cm: float) -> bytes:  # noqa: ARG001  its pixels say how wide it is
    end = len(_PNG) + 4 + 4 + 13 + 4  # of the first chunk, IHDR
    per_metre = round(DPI / 0.0254)
    resolution = _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    note = _chunk(b"iTXt", _KEY.encode() + b"\x00\x00\x00\x00\x00" + f"{text}; end".encode())
    return data[:end] + resolution + note + data[end:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _pdf(data: bytes, text: str, width_cm: float) -> bytes:  # noqa: ARG001  drawn in its size
    """An incremental update (ISO 32000-1, section 7.5.6): other document information, all else as it was."""
    data = re.sub(
        rb"\(D:\d{14}", b"(D:19800101000000", data
    )  # of the drawing, so that the same data gives the same bytes
    previous = int(_last(rb"startxref\s+(\d+)", data)[1])
    trailer = _last(rb"trailer\s*<<(.*?)>>\s*startxref", data)[1]
    size = int(_last(rb"/Size (\d+)", trailer)[1])
    root = _last(rb"/Root (\d+ \d+ R)", trailer)[1]
    keywords = ("﻿" + f"{text}; end").encode("utf-16-be").hex().upper().encode()
    start = len(data) + 1
    entry = b"%d 0 obj\n<</Producer (optcore)\n/Keywords <%s>>>\nendobj\n" % (size, keywords)
    table = b"xref\n%d 1\n%010d 00000 n \n" % (size, start)
    new = b"trailer\n<</Size %d\n/Root %s\n/Info %d 0 R\n/Prev %d>>\n" % (size + 1, root, size, previous)
    return data + b"\n" + entry + table + new + b"startxref\n%d\n%%%%EOF\n" % (start + len(entry))


def _last(pattern: bytes, data: bytes) -> re.Match[bytes]:
    found = list(re.finditer(pattern, data, re.DOTALL))
    if not found:
        raise ValueError(f"this PDF has no {pattern.decode()!r}")
    return found[-1]
