"""The framework runs a guard, a hook, a handler or a dependency that is no coroutine in a thread:
a sixth of a page's time. A face has none such.
"""

from collections.abc import Callable

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.utils.sync import AsyncCallable

from support.gateways import gateway_alone
from support.views import create_view, now, options_over

FACES: dict[str, Callable[[], Litestar]] = {
    "gateway": gateway_alone,
    "view": lambda: create_view(options_over("redis://nobody", now)),
}


@pytest.mark.parametrize("face", FACES)
def test_nothing_is_run_in_a_thread_for_a_request(face: str) -> None:
    app = FACES[face]()
    in_threads = {
        f"{path} {name}"
        for path, handlers in app.route_handler_method_map.items()
        for handler in handlers.values()
        if isinstance(handler, HTTPRouteHandler)
        for name, called in _called(handler)
        if isinstance(called, AsyncCallable)
    }
    assert not in_threads
    assert not any(isinstance(each, AsyncCallable) for each in app.before_send)


def _called(handler: HTTPRouteHandler) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [("handler", handler.fn)]
    found += [("guard", guard) for guard in handler.resolve_guards()]
    found += [(name, each.dependency) for name, each in handler.resolve_dependencies().items()]
    for layer in handler.ownership_layers:
        for hook in ("before_request", "after_request", "after_response"):
            found.append((hook, getattr(layer, hook)))
    return found
