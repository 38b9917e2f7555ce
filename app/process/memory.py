"""How a long-lived process looks for reference cycles: seldom, and hardly ever through what stays.

A full look through everything that was imported takes some 50 ms, one through what a view remembers
of 100,000 phones 0.3 s, and whoever asks meanwhile waits.
"""

import gc

OBJECTS = 50_000
"""New objects after which Python looks for cycles. Its default, 700, is a few records or requests;
what a chunk or a burst keeps until its end was looked through again and again."""

YOUNG_LOOKS = 40
"""Looks through new objects alone before one through all that came since the start: after 2,000,000
objects that stay, more than a view remembers (app.view.hot_path). Python's default is 10. A cycle
that is in use at a look is found no sooner than that, so lost cycles take some 200 MB at most."""


def look_seldom() -> None:
    """Look for cycles after `OBJECTS` new objects, and through older ones after `YOUNG_LOOKS` of
    these; never again through what exists now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, YOUNG_LOOKS)
