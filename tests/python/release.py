"""Lays out what a release has, from what is already built.

    python tests/python/release.py program FOLDER TARGET BINARY
    python tests/python/release.py packages FOLDER LANDFALL ARCHITECTURE...
    python tests/python/release.py sums FOLDER

`program` packs the command line for one target. `packages` packs what it deploys: one package for
each architecture, which `landfall package` has laid out in FOLDER/packages/ARCHITECTURE. It adds
the manual pages and completions that the program LANDFALL, which runs here, writes. `sums` adds the
installation script, and the sums of all files that people download. Both archives unpack into the
same folders, so that the command line finds the packages. The same files make the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import sbom

ROOT = Path(__file__).resolve().parents[2]
VERSION = sbom.version()
SUMS = "SHA256SUMS"
# Where shells look below a prefix.
COMPLETIONS = {
    "bash": "bash-completion/completions/landfall",
    "fish": "fish/vendor_completions.d/landfall.fish",
    "zsh": "zsh/site-functions/_landfall",
}
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")


def program(folder: Path, target: str, binary: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        put(top / "bin/landfall", Path(binary).read_bytes())
        for name in LICENCES:
            put(top / "share/doc/landfall" / name, (ROOT / name).read_bytes())
        pack(top, folder / f"landfall-{VERSION}-{target}.tar.gz")
    bill = sbom.bill_of_program(Path(binary), target)
    (folder / f"landfall-{VERSION}-{target}.cdx.json").write_text(bill, encoding="utf-8")


def packages(folder: Path, landfall: str, *architectures: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        for shell, place in COMPLETIONS.items():
            command = [landfall, "completions", shell]
            script = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            put(top / "share" / place, script)
        pages = top / "share/man/man1"
        pages.mkdir(parents=True)
        subprocess.run([landfall, "man-pages", str(pages)], check=True)
        inside = top / "share/landfall" / VERSION
        for architecture in architectures:
            package = folder / "packages" / architecture
            # Whoever deploys brings the routes.
            without_routes = shutil.ignore_patterns("routes.yaml", "routes.packaged")
            shutil.copytree(package, inside / architecture, ignore=without_routes)
            sbom.main(inside / architecture)
            bill = folder / f"landfall-{VERSION}-{architecture}.cdx.json"
            shutil.copyfile(inside / architecture / sbom.NAME, bill)
        [wheel, *_] = sorted(inside.glob("*/glue/*.whl"))
        shutil.copyfile(wheel, folder / wheel.name)
        write_sums(inside, [file for file in inside.rglob("*") if file.is_file()])
        pack(top, folder / f"landfall-{VERSION}-packages.tar.gz")


def sums(folder: Path) -> None:
    shutil.copyfile(ROOT / "install.sh", folder / "install.sh")
    write_sums(folder, [folder / "install.sh", *folder.glob(f"landfall*-{VERSION}-*")])


def write_sums(folder: Path, files: Iterable[Path]) -> None:
    """Writes the sums of files in a folder, as `sha256sum` would."""
    sums = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    (folder / SUMS).write_text("".join(f"{sums[path]}  {path}\n" for path in sorted(sums)))


def put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def pack(top: Path, archive: Path) -> None:
    """Packs a folder, as `landfall-VERSION`, without the owners and modes of this machine."""
    time = int(sbom.when().timestamp())
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(top.rglob("*")):
            info = tarfile.TarInfo(f"landfall-{VERSION}/{file.relative_to(top).as_posix()}")
            info.mtime = time
            info.mode = 0o644
            if file.is_dir() or file.name == "bootstrap" or file.parent.name == "bin":
                info.mode = 0o755
            if file.is_dir():
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = file.stat().st_size
                with file.open("rb") as content:
                    tar.addfile(info, content)
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(gzip.compress(plain.getvalue(), 6, mtime=time))


if __name__ == "__main__":
    commands = {"program": program, "packages": packages, "sums": sums}
    command, folder, *arguments = sys.argv[1:]
    commands[command](Path(folder), *arguments)
