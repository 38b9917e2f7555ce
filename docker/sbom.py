"""Prints what the images hold of others, as a CycloneDX document (`make sbom`).

In it are the Python packages of requirements.lock, the jars of Kafka (docker/kafka/jars.sha256) and
the scripts that pages load (vendored.json), each with its version and hashes. A Python package has
the hashes of all files that may be installed of it, as in the lock.

Not in it: Debian's packages, Python and Java among them (`dpkg-query -W` in an image lists them);
what wheels hold as compiled code, such as RocksDB in rocksdict; what tests or the benchmark use.
"""

import base64
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
VERSION = SchemaVersion.V1_6

PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^ \\]+)(?: ; (?P<where>[^\\]+?))? \\$")

JAR = re.compile(r"^(?P<artifact>.+?)-(?P<version>\d[\w.-]*)\.jar$")

GROUPS = {
    "HdrHistogram": "org.hdrhistogram",
    "argparse4j": "net.sourceforge.argparse4j",
    "caffeine": "com.github.ben-manes.caffeine",
    "hash4j": "com.dynatrace.hash4j",
    "jackson-annotations": "com.fasterxml.jackson.core",
    "jackson-core": "com.fasterxml.jackson.core",
    "jackson-databind": "com.fasterxml.jackson.core",
    "jackson-dataformat-yaml": "com.fasterxml.jackson.dataformat",
    "jackson-datatype-jdk8": "com.fasterxml.jackson.datatype",
    "jopt-simple": "net.sf.jopt-simple",
    "jose4j": "org.bitbucket.b_c",
    "jspecify": "org.jspecify",
    "lz4-java": "at.yawk.lz4",
    "metrics-core": "com.yammer.metrics",
    "pcollections": "org.pcollections",
    "re2j": "com.google.re2j",
    "scala-library": "org.scala-lang",
    "scala-logging_2.13": "com.typesafe.scala-logging",
    "scala-reflect": "org.scala-lang",
    "slf4j-api": "org.slf4j",
    "snakeyaml": "org.yaml",
    "snappy-java": "org.xerial.snappy",
    "zstd-jni": "com.github.luben",
}
"""Maven's group of each jar, which its file does not name; `_group` has the rest."""


def _group(artifact: str) -> str:
    if artifact.startswith("kafka"):
        return "org.apache.kafka"
    if artifact.startswith("log4j"):
        return "org.apache.logging.log4j"
    return artifact if artifact.startswith("commons-") else GROUPS[artifact]


def _sha_256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def python_packages(lock: str) -> Iterator[Component]:
    """Yield the packages of a lock as `uv pip compile --generate-hashes` writes it."""
    for block in re.split(r"\n(?=\S)", lock):
        pinned = PINNED.match(block.partition("\n")[0])
        if pinned is None:
            raise SystemExit(f"requirements.lock has what is no pinned package: {block[:80]!r}")
        name, version = pinned["name"], pinned["version"]
        hashes = [_sha_256(digest) for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", block)]
        told = {"image": "yuekang", **({"where": pinned["where"]} if pinned["where"] else {})}
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            purl=PackageURL("pypi", name=name, version=version),
            bom_ref=f"pypi:{name}@{version}",
            external_references=[
                ExternalReference(
                    type=ExternalReferenceType.DISTRIBUTION,
                    url=XsUri(f"https://pypi.org/project/{name}/{version}/"),
                    hashes=hashes,
                )
            ],
            properties=[Property(name=f"yuekang:{key}", value=said) for key, said in told.items()],
        )


def needed_by(lock: str) -> defaultdict[str, set[str]]:
    """Return for each package which others need it: what uv writes after `via`."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for block in re.split(r"\n(?=\S)", lock):
        _, _, via = block.partition("# via")
        found[block.partition("==")[0]] |= set(re.findall(r"([A-Za-z][\w.-]*)(?=\s|$)", via))
    return found


def jars(listed: str) -> Iterator[Component]:
    """Yield the jars of a file of sha256sum."""
    for line in listed.splitlines():
        digest, file = line.split()
        named = JAR.match(file)
        if named is None:
            raise SystemExit(f"jars.sha256 has what is no jar with its version: {file}")
        artifact, version = named["artifact"], named["version"]
        group = _group(artifact)
        yield Component(
            type=ComponentType.LIBRARY,
            group=group,
            name=artifact,
            version=version,
            purl=PackageURL("maven", group, artifact, version),
            bom_ref=f"maven:{group}:{artifact}@{version}",
            hashes=[_sha_256(digest)],
            properties=[Property(name="yuekang:image", value="yuekang-servers")],
        )


def scripts(vendored: str) -> Iterator[Component]:
    """Yield the packages of npm of which files are served to browsers, with those files."""
    for package in json.loads(vendored):
        name, version = package["name"], package["version"]
        integrity = base64.b64decode(package["npm_integrity"].removeprefix("sha512-")).hex()
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            purl=PackageURL("npm", name=name, version=version),
            bom_ref=f"npm:{name}@{version}",
            external_references=[
                ExternalReference(
                    type=ExternalReferenceType.DISTRIBUTION,
                    url=XsUri(f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"),
                    hashes=[HashType(alg=HashAlgorithm.SHA_512, content=integrity)],
                )
            ],
            components=[
                Component(
                    type=ComponentType.FILE,
                    name=file,
                    bom_ref=f"file:{file}",
                    hashes=[_sha_256(digest)],
                )
                for file, digest in package["files"].items()
            ],
            properties=[Property(name="yuekang:image", value="yuekang")],
        )


def main() -> None:
    """Print the document; end with 1 if it is not as CycloneDX wants it."""
    version = re.search(r"(?m)^version = (\S+)$", (ROOT / "setup.cfg").read_text())
    assert version is not None
    lock = (ROOT / "requirements.lock").read_text()
    bom = Bom(
        components=[
            *python_packages(lock),
            *jars((ROOT / "docker" / "kafka" / "jars.sha256").read_text()),
            *scripts((ROOT / "app/web/static/vendored.json").read_text()),
        ]
    )
    root = Component(
        type=ComponentType.APPLICATION, name="yuekang", version=version[1], bom_ref="yuekang"
    )
    bom.metadata.component = root
    needing = needed_by(lock)
    for of in (root, *bom.components):
        bom.register_dependency(of, [one for one in bom.components if of.name in needing[one.name]])
    text = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2)
    if (fault := JsonStrictValidator(VERSION).validate_str(text)) is not None:
        raise SystemExit(f"It is no CycloneDX {VERSION.to_version()}: {fault}")
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
