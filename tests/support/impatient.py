"""`yuekang view` that shows no colour by data of some seconds: `python -m support.impatient`.

What takes five minutes in production is seen in a test.
"""

from typing import Any

from app.view import limits

REFUSE_SECONDS = 12.0


def make() -> Any:
    """Make the application; Granian calls this in its worker."""
    _set_limit()
    from app.view.server import make

    return make()


def main() -> None:
    """Serve it until a signal ends it."""
    _set_limit()
    from app.view.server import serve_view, view_settings

    serve_view("support.impatient:make", view_settings)


def _set_limit() -> None:
    """Before anybody takes it: hence the imports behind it."""
    vars(limits)["REFUSE_SECONDS"] = REFUSE_SECONDS


if __name__ == "__main__":
    main()
