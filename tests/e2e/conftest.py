import os
import socket
import subprocess
import time

import httpx
import pytest
from e2e.stage import PHONE, Stage
from playwright.sync_api import sync_playwright

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def serve(fail):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    p = subprocess.Popen(
        [
            "granian",
            "--interface",
            "asgi",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "fake_view:app",
        ],
        env={**os.environ, "PYTHONPATH": "/tmp:.", "FAKE_FAIL": fail},
        stdout=open("/tmp/fake_view.log", "a"),
        stderr=subprocess.STDOUT,
    )
    for _ in range(100):
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    return p, Stage(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def stage():
    p, s = serve("")
    yield s
    p.terminate()
    p.wait()


@pytest.fixture(scope="session")
def failing():
    p, s = serve("1")
    yield s
    p.terminate()
    p.wait()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as pw:
        b = pw.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        yield b
        b.close()


@pytest.fixture
def page(browser):
    c = browser.new_context(viewport=PHONE, locale="zh-CN")
    yield c.new_page()
    c.close()


@pytest.fixture
def desk(browser):
    c = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN")
    yield c.new_page()
    c.close()
