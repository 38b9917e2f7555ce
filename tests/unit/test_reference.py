"""The documents' descriptions are CommonMark, and nothing in them becomes markup of the page."""

from app.view.pages.language import negotiate
from app.view.pages.reference import api_page, events_page

INFO = {"title": "T", "description": "up to when (`as_of`): *never* <script>alert(1)</script>"}


def test_a_description_is_read_as_commonmark_and_its_html_is_text():
    for answer in (
        api_page({"info": INFO}, None, negotiate("en", "")),
        events_page({"info": INFO}, negotiate("en", "")),
    ):
        page = str(answer.content)
        assert "(<code>as_of</code>): <em>never</em>" in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page
