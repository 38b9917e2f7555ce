"""Stacks as py-spy notes them."""

import re

from app.development.stack.broker import ROOT

SAMPLES_A_SECOND = 200


def short(frame: str) -> str:
    """Return a frame with its file from the package on."""
    frame = frame.replace(f"({ROOT}/", "(")
    return re.sub(r"\([^ ]*/(site-packages|lib/python3\.\d+)/", "(", frame)
