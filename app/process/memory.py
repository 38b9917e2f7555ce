"""How a long-lived process looks for reference cycles: seldom, and never through what stays.

A full look through everything that was imported takes some 50 ms, and whoever asks meanwhile waits.
"""

import gc

OBJECTS = 50_000
"""New objects after which Python looks for cycles. Its default, 700, is a few records or requests;
what a chunk or a burst keeps until its end was looked through again and again."""


def look_seldom() -> None:
    """Look for cycles after `OBJECTS` new objects; never again through what exists now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS)
