"""Files that a reader finds whole: the old content or the new one, never half of it."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put `content` at `path` in one step; it is on the disk when this returns. Raise `OSError`.

    The folder is made if it is missing. `mode` holds from the first byte. Several writers may write
    at once: the last one's content stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
