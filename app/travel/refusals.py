"""A refusal with a figure that its page shows."""

from app.web.problems import FieldError, Refused


class CodeWrong(Refused):
    """Another code was sent; `left` tries are left."""

    def __init__(self, left: int) -> None:
        tries = f"{left} tries are" if left > 1 else "1 try is"
        super().__init__(
            "code-wrong",
            f"Compare it with the newest message to this phone; {tries} left.",
            (FieldError("code", "It is another code."),),
        )
        self.left = left
