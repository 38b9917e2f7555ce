"""Sources in a file: to begin with, or to change many at once. It is YAML: the path of each source,
and under it what `models.register.RegisteredSource` has besides.

    /cdc/440100:
      name: {zh: 广州市疾病预防控制中心, en: Guangzhou CDC}
      city: "440100"
      telephone: 020-12345
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from app.topics.catalogue import CATALOGUE, PATH
from models.register import RegisteredSource

SOURCES_FILE = PATH.with_name("sources.yaml")
"""The sources of the sample day: those of a development machine, and an example of such a file."""

FILE_BYTES_MAX = 32 * 1024 * 1024


class SourcesFileError(Exception):
    """A file cannot be used; the message names every fault and what would be right."""


def sources_in(path: Path) -> list[RegisteredSource]:
    """Return the sources of a file, in its order; raise `SourcesFileError`."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SourcesFileError(f"{path}: {error.strerror}.") from None
    if len(content) > FILE_BYTES_MAX:
        raise SourcesFileError(f"{path}: it is longer than {FILE_BYTES_MAX:,} bytes.")
    try:
        parsed: Any = msgspec.yaml.decode(content)
    except msgspec.DecodeError as error:
        raise SourcesFileError(f"{path} is no YAML: {error}") from None
    if not isinstance(parsed, dict):
        raise SourcesFileError(
            f"{path}: it is no list of paths, such as /cdc/440100, with a colon."
        )
    found: list[RegisteredSource] = []
    faults: list[str] = []
    for name, fields in parsed.items():
        try:
            found.append(_source(name, fields))
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise SourcesFileError("\n".join([f"{path} cannot be used:", *faults]))
    return found


def _source(name: Any, fields: Any) -> RegisteredSource:
    if not isinstance(fields, dict) or "source" in fields:
        raise ValueError("under it stand name, city, telephone, keys and limits.")
    try:
        source = msgspec.convert({"source": name, **fields}, RegisteredSource)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}.") from None
    if CATALOGUE.authority_of(source.source) is None:
        raise ValueError(f"no authority has such sources; they are {', '.join(_patterns())}.")
    ids = [key.id for key in source.keys]
    if len(set(ids)) < len(ids):
        raise ValueError("a key is there twice.")
    for key in source.keys:
        if key.valid_until is not None and key.valid_until <= key.valid_from:
            raise ValueError(f"key {key.id} is never valid: it ends before it begins.")
    return source


def _patterns() -> Iterator[str]:
    return (pattern for of in CATALOGUE.authorities.values() for pattern in of)
