"""What the view gives the pages (app.view.pages.ports.PagePort)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.topics.schemas import asyncapi
from app.view.codes import Clock, Codes
from app.view.counts import Counting
from app.view.displays import Displays
from app.view.information import Information
from app.view.limits import DISPLAY_SECONDS
from app.view.pages.chart import Minute
from app.view.pages.ports import Counts, Read, Sample, SectionAnswer
from app.view.pages.samples import samples
from app.view.recorder import Recorder
from models.events import DisplayDetail, NationalStatusData
from models.information import Section


class Port:
    """The view as the pages see it; `samples_path` is None outside development."""

    def __init__(
        self,
        codes: Codes,
        counting: Counting,
        displays: Displays,
        recorder: Recorder,
        information: Information,
        now: Clock,
        samples_path: Path | None,
        openapi: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._codes = codes
        self._counting = counting
        self._displays = displays
        self._recorder = recorder
        self._information = information
        self._now = now
        self._samples_path = samples_path
        self._openapi = openapi

    @property
    def token_valid_s(self) -> int:
        return DISPLAY_SECONDS

    async def read(self, person: str) -> Read:
        return await self._codes.read(person)

    def token(self, person: str) -> str:
        return self._displays.token(person)

    def record(self, person: str, detail: DisplayDetail) -> None:
        self._recorder.record(person, self._now(), detail)

    async def sections(self, person: str, wanted: Sequence[Section]) -> Sequence[SectionAnswer]:
        return await self._information.sections(person, wanted)

    async def national_status(self, person: str) -> NationalStatusData | None:
        return await self._information.national_status(person)

    async def counts(self) -> Counts:
        return await self._counting.counts()

    async def minutes(self) -> Sequence[Minute]:
        return await self._counting.minutes()

    def samples(self) -> Sequence[Sample]:
        return () if self._samples_path is None else samples(self._samples_path)

    def openapi(self) -> Mapping[str, Any]:
        return self._openapi()

    def asyncapi(self) -> Mapping[str, Any]:
        return asyncapi()
