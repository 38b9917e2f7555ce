import httpx
import msgspec

PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
as_json = msgspec.json.encode


class Stage:
    def __init__(self, url):
        self.url = url

    def code_page(self, p):
        return f"{self.url}/people/{p}"

    def put(self, c):
        httpx.post(self.url + "/fake/code", content=as_json(c)).raise_for_status()
        return c.person

    def tell(self, c):
        httpx.post(self.url + "/fake/change", content=as_json(c)).raise_for_status()

    def scan(self, t):
        r = httpx.get(self.url + "/fake/scan", params={"token": t})
        r.raise_for_status()
        return r.json()
