"""A proof in Chromium: it prints as one paper, and its QR leads to the page that checks it."""

import io

import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect

from support.browsing import Where


def test_the_qr_of_a_paper_leads_to_its_check(where: Where, page: Page) -> None:
    spot = where("notice")
    spot.open(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("解除医学观察电子告知书")
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(page.screenshot(full_page=True))))
    assert "/check?c=YKP" in read.text
    page.goto(spot.stage.url + "/check?" + read.text.partition("/check?")[2])
    expect(page.locator(".finding")).to_contain_text("有效")
    expect(page.locator("main")).to_contain_text("解除时间")


def test_a_paper_fits_one_sheet_and_leaves_out_what_leads_elsewhere(
    where: Where, page: Page
) -> None:
    where("/me/negative").open(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("核酸检测阴性证明")
    page.emulate_media(media="print")
    for hidden in (".head", ".own", ".printing", ".screen"):
        expect(page.locator(hidden)).to_be_hidden()
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


def test_the_button_prints(where: Where, page: Page) -> None:
    page.add_init_script("window.print = () => { window.printed = true }")
    where("notice").open(page)
    page.get_by_role("button", name="打印本页").click()
    assert page.evaluate("window.printed") is True
