"""Writes the bill of materials of a package, in the format CycloneDX 1.6.

    python tests/python/sbom.py FOLDER

`make package` has laid out FOLDER, and the bill becomes its `landfall.cdx.json`. It lists what you
deploy: the functions with Rust's own library and the crates that are compiled into each, the wheel
for jobs, and the example's script. `cargo tree` resolves the crates for each function alone. That
leaves out macros, which run only while it is compiled, and crates that only tests or the command
line use. The command line has a bill of its own (`bill_of_program`). Each file has its hash, and
each crate the hash in `Cargo.lock`.

The same package gives the same bill. Its serial number follows from the content, and its time is
`SOURCE_DATE_EPOCH` or the commit's.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("trigger", "monitor", "provisioner", "auditor", "repairer", "reconciler")
NAME = "landfall.cdx.json"
OURS = "MIT OR Apache-2.0"


def main(folder: Path) -> None:
    (folder / NAME).write_text(bill(folder), encoding="utf-8")


def bill(folder: Path) -> str:
    """Returns the bill of the files in `folder`. Raises ValueError if the bill isn't valid."""
    made = Bill()
    for function in FUNCTIONS:
        made.add_program(f"landfall-{function}", folder / function / "bootstrap")
    [wheel] = (folder / "glue").glob("landfall_glue-*.whl")
    library = component("landfall-glue", version(), ComponentType.LIBRARY, wheel, OURS)
    library.purl = PackageURL("pypi", None, "landfall-glue", version())
    made.parts.append(library)
    for script in sorted((folder / "glue/jobs").glob("*.py")):
        made.parts.append(component(script.name, version(), ComponentType.FILE, script, OURS))
    return made.text()


def bill_of_program(binary: Path, target: str) -> str:
    """Returns the bill of the command line, built for a target."""
    made = Bill()
    made.add_program("landfall-cli", binary, "--target", target)
    return made.text()


class Bill:
    """A bill that grows by what it lists."""

    def __init__(self) -> None:
        self.bom = Bom(metadata=BomMetaData(timestamp=when()))
        self.whole = component("landfall", version(), ComponentType.APPLICATION, license=OURS)
        self.bom.metadata.component = self.whole
        self.crates = Crates()
        self.rust = component("rust", rust_version(), ComponentType.LIBRARY, license=OURS)
        self.rust.purl = PackageURL("generic", None, "rust", self.rust.version)
        self.bom.components.add(self.rust)
        self.parts: list[Component] = []

    def add_program(self, package: str, file: Path, *options: str) -> None:
        """Adds the program of a crate, and the crates that are compiled into it."""
        part = component(package, version(), ComponentType.APPLICATION, file, OURS)
        for one, depends_on in self.crates.of(package, *options).items():
            its = [self.crates.component(name) for name in depends_on]
            if one[0] == package:
                self.bom.register_dependency(part, [self.rust, *its])
            else:
                self.bom.components.add(self.crates.component(one))
                self.bom.register_dependency(self.crates.component(one), its)
        self.parts.append(part)

    def text(self) -> str:
        for part in self.parts:
            self.bom.components.add(part)
        self.bom.register_dependency(self.whole, self.parts)
        lines = sorted(
            f"{one.bom_ref} {sorted(map(str, one.hashes))}" for one in self.bom.components
        )
        self.bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(lines))
        text = JsonV1Dot6(self.bom).output_as_string(indent=2)
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        if problem:
            raise ValueError(f"the bill of materials is not valid: {problem}")
        return text + "\n"


Crate = tuple[str, str]
"""Name and version."""


class Crates:
    """The crates that are compiled into the functions."""

    def __init__(self) -> None:
        locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        self._checksums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
        self._licenses: dict[Crate, str] = {}
        self._made: dict[Crate, Component] = {}

    def of(self, package: str, *options: str) -> dict[Crate, set[Crate]]:
        """Returns each crate in `package`, including itself, with its dependencies."""
        found: dict[Crate, set[Crate]] = {}
        above: list[Crate] = []
        for depth, crate, license in tree(package, *options):
            self._licenses[crate] = license
            found.setdefault(crate, set())
            del above[depth:]
            if above:
                found[above[-1]].add(crate)
            above.append(crate)
        return found

    def component(self, crate: Crate) -> Component:
        if crate not in self._made:
            name, version = crate
            made = component(name, version, ComponentType.LIBRARY, license=self._licenses[crate])
            if checksum := self._checksums[crate]:
                made.purl = PackageURL("cargo", None, name, version)
                made.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=checksum)]
            self._made[crate] = made
        return self._made[crate]


def tree(package: str, *options: str) -> Iterator[tuple[int, Crate, str]]:
    """Yields the lines of `cargo tree`: depth, crate, licence."""
    command = ["cargo", "tree", "--locked", "--package", package, "--prefix", "depth"]
    command += ["--edges", "normal,no-proc-macro", "--format", "|{p}|{l}|"]
    command += options
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"`cargo tree` of {package} failed: {done.stderr[-2000:]}")
    for line in done.stdout.splitlines():
        depth, crate, license, _seen = line.split("|")
        name, version = crate.split()[:2]
        # Old crates write a slash instead of `OR`.
        yield int(depth), (name, version.removeprefix("v")), re.sub(r"\s*/\s*", " OR ", license)


def version() -> str:
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def rust_version() -> str:
    """Returns the version of the compiler, which is also that of its library."""
    done = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def component(
    name: str,
    version: str,
    kind: ComponentType,
    file: Path | None = None,
    license: str = "",
) -> Component:
    made = Component(
        name=name, version=version, type=kind, bom_ref=f"{kind.value}/{name}@{version}"
    )
    made.licenses = [LicenseExpression(license)]
    if file:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        made.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
    return made


def when() -> datetime:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        command = ["git", "log", "-1", "--format=%ct"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = done.stdout.strip()
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
