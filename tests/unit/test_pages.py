"""The pages without a browser: what a sheet says, words in both languages, pictures, documents."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast
from xml.etree import ElementTree

import pytest

from app.development.sample.samples import samples
from app.login.sessions import Session
from app.sources.register import Register
from app.topics.schemas import asyncapi
from app.view.pages import names, reference
from app.view.pages.chart import chart, described
from app.view.pages.code_page import failed_page
from app.view.pages.divisions import PREFECTURES
from app.view.pages.information import information_page, section_page
from app.view.pages.installed import manifest
from app.view.pages.sheet import NO_SHEET, sheet
from app.view.reading import ChangesOfMinute, SectionAnswer, Unavailable
from app.view.services import Services
from app.web.language import LANGUAGES, Language, exactly, moment, negotiate, today
from app.web.site import STATIC, TEMPLATES, static_file
from models.codes import (
    Colour,
    Condition,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Owner,
    Reason,
)
from models.events import DocumentType
from models.information import Section
from models.policy import ZONE
from support.gateways import gateway_document
from support.pages import asked, rendered

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
BEFORE = NOON - timedelta(days=3)
LATER = NOON + timedelta(hours=6)
ZH, EN = LANGUAGES[:2]
REGISTER = Register()


def code(*intervals: Interval, verified: datetime | None = BEFORE) -> HealthCode:
    return HealthCode("p1-" + "a" * 32, 7, NOON, verified_since=verified, intervals=intervals)


def interval(
    reason: Reason,
    *conditions: Condition,
    end: datetime | None = None,
    province: str | None = None,
) -> Interval:
    opened_by = EventRef("/cdc/440100", "c-1")
    return Interval(reason, BEFORE, opened_by, "2020-04", end, conditions, province)


class TestSheet:
    def test_an_unknown_person_and_an_unverified_one_see_the_same(self) -> None:
        assert sheet(None, NOON, "p", REGISTER) == NO_SHEET
        assert (
            sheet(code(interval(Reason.SUSPECTED_CASE), verified=None), NOON, "p", REGISTER)
            == NO_SHEET
        )

    def test_green_names_the_policy_and_when_it_changes_by_itself(self) -> None:
        later = Interval(Reason.HOME_QUARANTINE, LATER, EventRef("/q", "1"), "2020-04")
        shown = sheet(code(later), NOON, "2020-04", REGISTER)
        assert (shown.colour, shown.reasons, shown.changes_at) == (Colour.GREEN, (), LATER)
        assert shown.policy == "2020-04"

    def test_reasons_stand_by_rank(self) -> None:
        shown = sheet(
            code(interval(Reason.HOME_QUARANTINE), interval(Reason.SUSPECTED_CASE)),
            NOON,
            "p",
            REGISTER,
        )
        assert [reason.rank for reason in shown.reasons] == [2, 6]

    def test_a_condition_met_in_the_future_is_not_ticked_yet(self) -> None:
        waiting = Condition(ConditionKind.TIME, Owner.TIME, not_before=LATER, met_at=LATER)
        reasons = code(interval(Reason.HOME_QUARANTINE, waiting, end=LATER))
        (before,) = sheet(reasons, NOON, "p", REGISTER).reasons
        assert not before.steps[0].met
        assert "自动解除" in before.lifts.of(ZH)
        assert sheet(reasons, LATER, "p", REGISTER).colour is Colour.GREEN

    def test_an_unmet_test_says_from_when_it_may_be_sampled(self) -> None:
        test = Condition(ConditionKind.NEGATIVE_TEST, Owner.LABORATORY, not_before=LATER)
        (reason,) = sheet(code(interval(Reason.CLOSE_CONTACT, test)), NOON, "p", REGISTER).reasons
        when = reason.steps[0].when
        assert when is not None
        assert when.of(ZH) == "须2026年11月24日 18:00起采样"
        assert when.of(EN) == "sampled on or after 24 Nov 2026, 18:00"
        assert reason.lifts.of(EN) == "On 24 Nov 2026, 18:00 at the earliest, all steps met"

    def test_where_no_date_is_known_the_sheet_says_so(self) -> None:
        green = Condition(ConditionKind.PROVINCE_GREEN, Owner.PROVINCE)
        (reason,) = sheet(
            code(interval(Reason.OUT_OF_PROVINCE_CODE, green, province="43")), NOON, "p", REGISTER
        ).reasons
        assert reason.name.of(ZH) == "外省健康码红黄码人员（湖南）"
        assert reason.steps[0].needs.of(EN) == "The code of Hunan turns green"
        assert reason.steps[0].when is None
        assert reason.lifts.of(EN).startswith("No date yet")


class TestSections:
    def test_the_kind_stands_before_the_number_and_what_expired_says_so(self) -> None:
        page = rendered("section-certificates", ZH)
        assert re.search("<h2><span>健康证明</span> <span[^>]*>C-1</span></h2>", page)
        page = rendered("section-certificates-expired", EN)
        assert "<em>expired</em>" in page

    def test_a_positive_has_another_shape_than_a_negative(self) -> None:
        page = rendered("section-nat-results", ZH)
        titles = re.findall(r'<h2>(?:<svg.*?d="(.*?)"/></svg> )?<span>(.*?)</span>', page)
        shapes = {title[:2]: path for path, title in titles}
        assert shapes["阳性"] != shapes["阴性"] != shapes["无法"] == ""


class TestLanguage:
    @pytest.mark.parametrize(
        ("asked", "header", "expected"),
        [
            (None, "", ZH),
            ("en", "zh-CN", EN),
            ("fr", "", ZH),
            (None, "en-GB,en;q=0.9,zh;q=0.5", EN),
            (None, "fr;q=1, zh-Hant;q=0.4, en;q=0.3", ZH),
            (None, "en;q=0, *", ZH),
            (None, "en;q=nonsense", ZH),
            (None, "zh-TW, en;q=0.5", ZH),
            (None, "zh-Hant-HK", ZH),
            ("EN", "", EN),
        ],
    )
    def test_language(self, asked: str | None, header: str, expected: Language) -> None:
        assert negotiate(asked, header) is expected

    def test_every_term_of_the_model_has_a_name(self) -> None:
        assert set(names.REASONS) == set(Reason)
        assert set(names.COLOURS) == set(names.SAYS) == set(Colour)
        assert set(names.CONDITIONS) == set(ConditionKind)
        assert set(names.OWNERS) == set(Owner)

    def test_guangdong_has_21_cities(self) -> None:
        assert len(names.CITIES) == 21
        assert all(re.fullmatch(r"44\d\d00|445\d00", code) for code in names.CITIES)
        assert names.city("440305").of(ZH) == "深圳"

    @pytest.mark.parametrize(
        ("code", "zh", "en"),
        [
            ("420100", "湖北武汉", "Wuhan, Hubei"),
            ("420600", "湖北襄阳", "Xiangyang, Hubei"),
            ("360103", "江西南昌", "Nanchang, Jiangxi"),
            ("429004", "湖北仙桃", "Xiantao, Hubei"),
            ("610100", "陕西西安", "Xi'an, Shaanxi"),
            ("140100", "山西太原", "Taiyuan, Shanxi"),
            ("650100", "新疆乌鲁木齐", "Ürümqi, Xinjiang"),
            ("110105", "北京", "Beijing"),
            ("810000", "香港", "Hong Kong"),
            ("430000", "湖南", "Hunan"),
            ("439900", "湖南", "Hunan"),
            ("999999", "999999", "999999"),
        ],
    )
    def test_a_city_outside_stands_with_its_province(self, code: str, zh: str, en: str) -> None:
        assert (names.city(code).of(ZH), names.city(code).of(EN)) == (zh, en)

    def test_every_prefecture_has_a_name_in_each_language(self) -> None:
        assert len(PREFECTURES) > 333
        for code, name in PREFECTURES.items():
            assert re.fullmatch(r"\d{6}", code)
            assert re.fullmatch(r"[\u4e00-\u9fff]{2,6}", name.of(ZH)), code
            assert re.fullmatch(r"[A-ZÜ][a-zêü']+( [A-Z][a-z]+)*", name.of(EN)), code
            assert code[:2] in names.PROVINCES

    def test_guangdong_is_named_alike_in_both_lists(self) -> None:
        for code, name in names.CITIES.items():
            for language in LANGUAGES:
                assert PREFECTURES[code].of(language) == name.of(language)

    def test_one_can_be_in_every_province(self) -> None:
        assert {code[:2] for code in names.CITY_CODES} == names.PROVINCES.keys()
        assert next(iter(names.places()))[1] is names.CITIES

    def test_a_whole_day_is_said_without_an_hour(self) -> None:
        assert moment(NOON.replace(hour=0)).of(ZH) == "2026年11月24日"
        assert moment(NOON).of(EN) == "24 Nov 2026, 12:00"
        assert exactly(NOON).of(ZH) == "2026年11月24日 12:00:00"

    def test_an_afternoon_has_24_hours_in_every_language(self) -> None:
        assert moment(LATER).of(EN) == "24 Nov 2026, 18:00"
        assert moment(LATER).of(ZH) == "2026年11月24日 18:00"

    def test_the_day_of_the_week_is_that_of_shanghai(self) -> None:
        late = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
        assert today(late).of(EN) == "Wednesday, 25 November 2026"
        assert today(late).of(ZH) == "2026年11月25日星期三"

    def test_what_has_no_end_has_a_last_day(self) -> None:
        end = datetime.max.replace(tzinfo=UTC)
        assert today(end).of(ZH).startswith("9999年12月31日")
        assert moment(end).of(ZH) == "9999年12月31日"


HOUR = [ChangesOfMinute(NOON + timedelta(minutes=i), i % 3, i % 5) for i in range(60)]


class Rectangle(NamedTuple):
    """A bar as it is seen."""

    left: float
    bottom: float
    width: float
    height: float


class Picture:
    """A chart, read from its SVG."""

    def __init__(
        self, minutes: Sequence[ChangesOfMinute], size: str = "wide", language: Language = ZH
    ) -> None:
        self.root = ElementTree.fromstring(chart(minutes, language, size))
        self.size = int(self.root.get("width", "")), int(self.root.get("height", ""))

    def all(self, tag: str) -> list[ElementTree.Element]:
        return list(self.root.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))

    def _group(self, name: str) -> ElementTree.Element:
        (found,) = (group for group in self.all("g") if group.get("id") == name)
        return found

    def labels(self, group: str) -> dict[str, tuple[float, float]]:
        """Each label with its place."""
        return {
            text.text or "": (float(text.get("x", "")), float(text.get("y", "")))
            for text in self._group(group)
        }

    @property
    def axis(self) -> float:
        """Where nothing stands."""
        return self.labels("counts")["0"][1]

    def height_of(self, count: int) -> float:
        """What the labels of the axis say."""
        label, (_, top) = list(self.labels("counts").items())[-1]
        return count * (self.axis - top) / int(label.replace(",", ""))

    def bar(self, group: str, number: int) -> Rectangle:
        """A minute's bar as its group's transform lays it; of no height where nothing is drawn."""
        numbers = re.findall(r"-?[\d.]+", self._group(group).get("transform", ""))
        left, bottom, width, height = map(float, numbers)
        for rect in self._group(group):
            x, y, w, h = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
            if x == number:
                return Rectangle(left + x * width, bottom + y * height, w * width, -h * height)
        return Rectangle(left + number * width, bottom, 0, 0)


class TestChart:
    def test_the_picture_holds_no_script_and_nothing_from_elsewhere(self) -> None:
        svg = chart(HOUR, ZH).decode()
        assert "<script" not in svg
        assert not re.search(r'(?:href|src)="(?!#)', svg)
        assert "12:00" in svg

    @pytest.mark.parametrize("size", ["wide", "narrow", "no-such"])
    def test_an_hour_without_changes_is_drawn(self, size: str) -> None:
        quiet = [ChangesOfMinute(NOON + timedelta(minutes=i), 0, 0) for i in range(60)]
        picture = chart(quiet, ZH, size).decode()
        assert "12:00" in picture
        assert "暂时无法取得数据" not in picture

    def test_an_hour_that_cannot_be_read_is_not_called_quiet(self) -> None:
        assert "暂时无法取得数据" in chart([], ZH).decode()

    def test_a_bar_is_as_high_as_its_reds_however_many_others_there_are(self) -> None:
        picture = Picture([ChangesOfMinute(m.start, m.to_red * 7, 10_000) for m in HOUR])
        for number, minute in enumerate(HOUR):
            red = picture.bar("red", number)
            assert red.height == pytest.approx(picture.height_of(minute.to_red * 7))
            if minute.to_red:
                assert red.bottom == picture.axis
                assert red.height > 20

    @pytest.mark.parametrize("size", ["wide", "narrow"])
    def test_bars_follow_each_other_from_the_axis_to_the_right_edge(self, size: str) -> None:
        picture = Picture([ChangesOfMinute(m.start, 1, 1) for m in HOUR], size)
        bars = [picture.bar("red", number) for number in range(60)]
        steps = {round(b.left - a.left, 6) for a, b in pairwise(bars)}
        assert len(steps) == 1
        assert 0 < bars[0].width < steps.pop()
        assert bars[0].left > max(x for x, _ in picture.labels("counts").values())
        assert bars[-1].left + bars[-1].width < picture.size[0]

    @pytest.mark.parametrize(
        ("most", "labels"),
        [
            (0, ["0", "1", "2"]),
            (3, ["0", "2", "4"]),
            (13, ["0", "10", "20"]),
            (20, ["0", "10", "20"]),
            (81, ["0", "50", "100"]),
            (30_000, ["0", "20,000", "40,000"]),
        ],
    )
    def test_the_axis_says_nothing_half_and_a_round_top(self, most: int, labels: list[str]) -> None:
        picture = Picture([ChangesOfMinute(NOON, most, 0)])
        assert list(picture.labels("counts")) == labels
        for label, (x, y) in picture.labels("counts").items():
            count = int(label.replace(",", ""))
            assert y == pytest.approx(picture.axis - picture.height_of(count))
            assert x >= 8 * len(label), "and has room to the left"
        assert picture.labels("counts")[labels[-1]][1] < 20, "the top is at the top"

    @pytest.mark.parametrize("size", ["wide", "narrow"])
    def test_every_tenth_minute_has_its_time_in_shanghai_below_it(self, size: str) -> None:
        minutes = [ChangesOfMinute(m.start.astimezone(UTC), 1, 0) for m in HOUR]
        picture = Picture(minutes, size)
        times = picture.labels("times")
        assert list(times) == ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50"]
        for number, (x, y) in zip(range(0, 60, 10), times.values(), strict=True):
            bar = picture.bar("red", number)
            assert x == pytest.approx(bar.left + bar.width / 2)
            assert picture.axis < y < picture.size[1]

    @pytest.mark.parametrize("minutes", [[], HOUR], ids=["empty", "hour"])
    @pytest.mark.parametrize(
        ("size", "measures"),
        [("wide", (900, 240)), ("narrow", (420, 240)), ("no-such", (900, 240))],
    )
    def test_each_size_has_its_measures(
        self, minutes: list[ChangesOfMinute], size: str, measures: tuple[int, int]
    ) -> None:
        picture = Picture(minutes, size)
        assert picture.size == measures
        assert picture.root.get("viewBox") == f"0 0 {measures[0]} {measures[1]}"

    def test_without_figures_there_is_one_sentence_and_nothing_drawn(self) -> None:
        picture = Picture([], language=EN)
        assert [text.text for text in picture.all("text")] == ["No figures can be read now"]
        assert (len(picture.all("rect")), picture.all("path")) == (1, [])

    @pytest.mark.parametrize("minutes", [[], HOUR], ids=["empty", "hour"])
    def test_the_picture_asks_for_no_style_and_has_its_words(
        self, minutes: list[ChangesOfMinute]
    ) -> None:
        picture = Picture(minutes)
        assert not picture.all("style")
        assert not [each for each in picture.root.iter() if "style" in each.attrib]
        assert picture.root.get("role") == "img"
        said = described(minutes).of(ZH) if minutes else "暂时无法取得数据"
        assert [title.text for title in picture.all("title")] == [said]

    def test_its_colours_are_those_of_the_page(self) -> None:
        css = static_file("tokens.css").read_text()
        values = {value: name for name, value in re.findall(r"--(night[\w-]*): (#\w{6})", css)}
        picture = Picture(HOUR)
        used = {
            each.get("id") or each.tag.rpartition("}")[2]: values[colour]
            for each in picture.root.iter()
            for colour in (each.get("fill"), each.get("stroke"))
            if colour not in (None, "none")
        }
        assert used == {
            "rect": "night-raised",
            "counts": "night-soft",
            "g": "night-line",
            "red": "night-red",
            "path": "night-text",
            "times": "night-text",
        }

    def test_the_picture_is_said_in_words(self) -> None:
        said = described([ChangesOfMinute(NOON, 2, 3), ChangesOfMinute(NOON, 1, 0)]).of(EN)
        assert said.endswith("3 turned red, at most 2 in a minute; 3 other changes.")

    def test_one_change_is_not_said_in_the_plural(self) -> None:
        said = described([ChangesOfMinute(NOON, 0, 1)])
        assert said.of(EN).endswith("0 turned red, at most 0 in a minute; 1 other change.")
        assert said.of(ZH).endswith("变为红码 0 次，一分钟最多 0 次；其他 1 次变化。")


class TestReference:
    DOCUMENT = {  # noqa: RUF012
        "channels": {
            "case-reports": {
                "address": "case-reports",
                "messages": {"suspected": {"$ref": "#/components/messages/Suspected"}},
                "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": ["delete"]}}},
            }
        },
        "components": {
            "messages": {
                "Suspected": {
                    "title": "yuekang.case.suspected.v1",
                    "payload": {"schema": {"$ref": "#/components/schemas/Suspected"}}
                    | {"schemaFormat": "application/schema+json;version=draft-2020-12"},
                    "examples": [{"payload": {"id": "c-1"}}],
                }
            },
            "schemas": {
                "Suspected": {
                    "type": "object",
                    "required": ["id"],
                    "properties": {
                        "id": {"type": "string", "maxLength": 64},
                        "data": {"$ref": "#/components/schemas/Data"},
                    },
                },
                "Data": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        },
    }

    def test_a_channel_links_its_messages(self) -> None:
        (channel,) = reference.channels(self.DOCUMENT)
        assert channel.messages == (("message-suspected", "yuekang.case.suspected.v1"),)
        assert channel.settings == (("cleanup.policy", "delete"),)

    def test_a_message_is_shown_once_with_its_fields_and_example(self) -> None:
        (message,) = reference.messages(self.DOCUMENT)
        first, second = message.payload.fields
        assert (first.name, first.required) == ("id", True)
        assert [limit.of(EN) for limit in first.limits] == ["length ≤ 64"]
        assert second.kinds == (reference.ValueKind("Data", "schema-data"),)
        assert '"id": "c-1"' in message.examples[0]

    def test_every_link_within_a_page_leads_somewhere(self) -> None:
        for page in (
            reference.events_page(asked(ZH), asyncapi()).content.decode(),
            reference.api_page(asked(EN), gateway_document(), None).content.decode(),
        ):
            anchors = re.findall(r' id="([^"]+)"', page)
            assert len(anchors) == len(set(anchors))
            assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)

    def test_a_description_is_read_as_commonmark_and_its_html_is_text(self) -> None:
        info = {"description": "up to when (`as_of`): *never* <script>alert(1)</script>"}
        for answer in (
            reference.api_page(asked(EN), {"info": info}, None),
            reference.events_page(asked(EN), {"info": info}),
        ):
            page = answer.content.decode()
            assert "(<code>as_of</code>): <em>never</em>" in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
            assert "<script>alert" not in page

    def test_alternatives_are_listed(self) -> None:
        data, _ = reference.schemas(self.DOCUMENT)
        assert [kind.words for kind in data.one_of] == ["string", "null"]


class TestSamples:
    def test_each_story_is_listed_with_what_the_page_will_show(self, tmp_path: Path) -> None:
        file = tmp_path / "sample.json"
        file.write_text(
            """{"people": 3, "scenarios": {
            "green": {"person": "p1-a", "entrance": "kafka", "colour": "green"},
            "contact": {"person": "p1-b", "entrance": "kafka", "colour": "red", "reasons": [3]},
            "many-reasons": {"person": "p1-c", "colour": "red", "reasons": [6],
            "changes_at": "2026-11-24T04:00:00Z", "then_colour": "green"}}}"""
        )
        listed = samples(file)
        assert [sample.hint for sample in listed] == ["green", "contact", "red"]
        assert listed[1].what.of(ZH) == "红码：密切接触者"
        assert listed[2].what.of(EN) == "Red code: In home quarantine (Green code from 12:00:00)"

    def test_without_a_sample_day_nobody_is_listed(self, tmp_path: Path) -> None:
        assert samples(tmp_path / "sample.json") == ()


class TestFiles:
    @pytest.mark.parametrize("folders", [TEMPLATES, STATIC], ids=["templates", "static"])
    def test_a_name_occurs_in_one_room_alone(self, folders: list[Path]) -> None:
        names = [path.name for folder in folders for path in folder.iterdir()]
        assert len(folders) > 1
        assert sorted(names) == sorted(set(names))

    def test_templates_hold_nothing_inline_and_nothing_from_elsewhere(self) -> None:
        templates = [path for folder in TEMPLATES for path in folder.iterdir()]
        assert len(templates) > 20
        for template in templates:
            text = template.read_text()
            assert not re.search(r"<script(?! src=\"{{ static)", text), template.name
            assert not re.search(r"\s(style|on\w+)=", text), template.name
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), template.name

    @pytest.mark.parametrize(
        ("text", "ground"),
        [
            ("white", "red"),
            ("white", "blue"),
            ("white", "grey"),
            ("red-qr", "white"),
            ("green", "white"),
            ("ink", "warn"),
            ("ink-soft", "white"),
            ("ink-soft", "paper"),
            ("link", "paper"),
            ("night-text", "night"),
            ("night-soft", "night-raised"),
            ("night-red", "night-raised"),
            ("night-green", "night-raised"),
            ("night-blue", "night-raised"),
            ("night-warn", "night-raised"),
            ("white", "grey-deep"),
        ],
    )
    def test_text_stands_out_from_its_ground(self, text: str, ground: str) -> None:
        css = static_file("tokens.css").read_text()
        values = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))
        light, dark = sorted((_luminance(values[text]), _luminance(values[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


class TestInstalled:
    @pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
    def test_the_manifest_is_in_its_language_and_its_files_are_there(
        self, language: Language
    ) -> None:
        found = json.loads(manifest(language).content)
        said = [found["name"], *(shortcut["name"] for shortcut in found["shortcuts"])]
        assert all(bool(re.search("[一-鿿]", words)) is (language is ZH) for words in said)
        assert found["lang"] == language.tag
        assert found["start_url"] == f"/code?lang={language.code}"
        for icon in found["icons"]:
            name, _, version = icon["src"].removeprefix("/static/").partition("?v=")
            assert static_file(name).is_file()
            assert version


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("nat-results", ("阳性（混检，不影响码的颜色；需单人单管复核）", "10", "T-1")),
        (
            "certificates",
            ("C-1", "签发单位", "广州", "2026年11月21日", "有效期至", "2026年11月24日"),
        ),
        ("entry-registrations", ("湖南", "登记编号", "R-1", "2026年11月24日 18:00")),
        ("border-entries", ("广州", "来自", "新加坡", "2026年11月21日 12:00")),
    ],
)
def test_a_section_of_papers_says_what_each_holds(section: str, said: tuple[str, ...]) -> None:
    page = rendered(f"section-{section}", ZH)
    for words in said:
        assert words in page


class Reader:
    """Health information in which every section is empty; it keeps what it was asked for."""

    def __init__(self) -> None:
        self.wanted: list[Section] = []

    async def sections(self, person: str, wanted: Sequence[Section]) -> list[SectionAnswer]:
        self.wanted = list(wanted)
        return [SectionAnswer(section, NOON, False, False, ()) for section in wanted]


class TestClockOfTheView:
    """The pages go by the clock that the view was given, not by this machine's."""

    ADULT_FROM = date(2031, 5, 1)
    MIDNIGHT = datetime(2031, 5, 1, tzinfo=ZONE)
    SESSION = Session(
        "p1-" + "a" * 32,
        "陈*明",
        ADULT_FROM,
        DocumentType.RESIDENT_IDENTITY_CARD,
        "s",
        MIDNIGHT,
        MIDNIGHT,
        MIDNIGHT + timedelta(hours=2),
    )

    @pytest.mark.parametrize(
        ("before", "shown"), [(timedelta(seconds=1), False), (timedelta(0), True)]
    )
    async def test_displays_are_shown_from_the_day_on_that_makes_an_adult(
        self, before: timedelta, shown: bool
    ) -> None:
        reader = Reader()
        # In UTC, since the day is one of Asia/Shanghai whatever the clock's zone.
        at = (self.MIDNIGHT - before).astimezone(UTC)
        view = cast(
            Services, SimpleNamespace(now=lambda: at, information=reader, register=REGISTER)
        )
        await information_page(view, self.SESSION, EN)
        assert (Section.DISPLAYS in reader.wanted) is shown
        reader.wanted = []
        await section_page(view, self.SESSION, Section.DISPLAYS, EN)
        assert reader.wanted == [Section.DISPLAYS] * shown

    def test_a_failed_page_shows_its_time(self) -> None:
        answer = failed_page(Unavailable("store", 5), EN, self.MIDNIGHT, reload=False)
        assert "00:00:05" in answer.content, "when to try again"
