"""A release: what its archives have, and how the installation script installs them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import release
import sbom

ROOT = Path(__file__).parents[2]
VERSION = release.VERSION
TARGET = "x86_64-unknown-linux-gnu"
PROGRAM = f"landfall-{VERSION}-{TARGET}.tar.gz"
PROGRAM_TEXT = f"""#!/bin/sh
[ "$1" = man-pages ] && echo page > "$2/landfall.1"
[ "$1" = --version ] && echo landfall {VERSION} || echo script
"""
PACKAGES = f"landfall-{VERSION}-packages.tar.gz"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of packages for one architecture, with scripts in place of programs."""
    folder = tmp_path_factory.mktemp("release")
    package = folder / "packages/arm64"
    for function in sbom.FUNCTIONS:
        release.put(package / function / "bootstrap", f"program of the {function}".encode())
        release.put(package / function / "routes.yaml", b"example")
        release.put(package / function / "routes.packaged", b"example")
    release.put(package / "routes.yaml", b"example")
    release.put(package / "data-account.yaml", b"template")
    release.put(package / f"glue/landfall_glue-{VERSION}-py3-none-any.whl", b"wheel")
    release.put(package / "glue/jobs/csv_to_parquet.py", b"script")
    program = folder / "packages/landfall"
    program.write_text(PROGRAM_TEXT)
    program.chmod(0o755)
    release.packages(folder, str(program), "arm64")
    release.program(folder, TARGET, str(program))
    release.sums(folder)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the release, which a test can change."""
    return shutil.copytree(built, tmp_path / "copy", ignore=shutil.ignore_patterns("packages"))


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    """The address of a server that has the release."""
    handler = partial(Quiet, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def programs(folder: Path, *without: str, **instead: str) -> str:
    """Makes a search path of the programs that the script may use, some of them replaced."""
    folder.mkdir(parents=True)
    needed = "cat chmod cp curl dirname grep gzip mkdir mktemp mv rm sha256sum sh tar uname wget"
    for name in needed.split():
        if name not in without:
            found = shutil.which(name)
            assert found, name
            (folder / name).symlink_to(found)
    for name, text in instead.items():
        (folder / name).unlink()
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def install(
    *arguments: str, home: Path | None, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"]} | ({"HOME": str(home)} if home else {})
    command = ["sh", str(ROOT / "install.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def listed(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {path: sum for sum, path in (line.split("  ") for line in lines)}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def members(archive: Path) -> dict[str, int]:
    with tarfile.open(archive) as tar:
        top = f"landfall-{VERSION}/"
        assert all(one.name.startswith(top) and one.uid == 0 for one in tar)
        return {one.name.removeprefix(top): one.mode for one in tar if one.isfile()}


def test_a_release_has_the_sum_of_each_file_that_people_download(built: Path) -> None:
    files = {file.name for file in built.iterdir() if file.is_file()}
    assert files == {
        "SHA256SUMS",
        "install.sh",
        PROGRAM,
        PACKAGES,
        f"landfall-{VERSION}-arm64.cdx.json",
        f"landfall-{VERSION}-{TARGET}.cdx.json",
        f"landfall_glue-{VERSION}-py3-none-any.whl",
    }
    assert listed(built) == {name: digest(built / name) for name in files - {"SHA256SUMS"}}


def test_the_bill_of_the_command_line_lists_its_crates(built: Path) -> None:
    bill = json.loads((built / f"landfall-{VERSION}-{TARGET}.cdx.json").read_text())
    names = {one["name"] for one in bill["components"]}
    assert {"landfall-cli", "clap", "rustls", "rust", "aws-sdk-cloudformation"} <= names
    assert not names & {"landfall-trigger", "landfall-glue", "wiremock", "syn"}


def test_the_packages_have_what_was_laid_out_but_no_routes(built: Path) -> None:
    inside = members(built / PACKAGES)
    its = f"share/landfall/{VERSION}/arm64"
    for name in ("data-account.yaml", "glue/jobs/csv_to_parquet.py", sbom.NAME):
        assert inside[f"{its}/{name}"] == 0o644
    for function in sbom.FUNCTIONS:
        assert inside[f"{its}/{function}/bootstrap"] == 0o755
    assert not [name for name in inside if "routes." in name]
    for place in (*release.COMPLETIONS.values(), "man/man1/landfall.1"):
        assert inside[f"share/{place}"] == 0o644
    assert members(built / PROGRAM)["bin/landfall"] == 0o755


def test_the_same_files_make_the_same_archives(
    built: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = (built / f"landfall-{VERSION}-arm64.cdx.json").read_text()
    monkeypatch.setattr(sbom, "bill", lambda _: bill)
    shutil.copytree(built / "packages", copy / "packages")
    release.packages(copy, str(copy / "packages/landfall"), "arm64")
    release.program(copy, TARGET, str(copy / "packages/landfall"))
    assert digest(copy / PACKAGES) == digest(built / PACKAGES)
    assert digest(copy / PROGRAM) == digest(built / PROGRAM)


@pytest.mark.parametrize("without", ["wget", "curl"])
def test_the_script_installs_over_the_network_with_either_client(
    served: str, tmp_path: Path, without: str
) -> None:
    home = tmp_path / "a home"
    home.mkdir()
    done = install("--from", served, home=home, path=programs(tmp_path / "bin", without))
    assert done.returncode == 0, done.stderr
    assert f"add {home}/.local/bin to your PATH" in done.stderr
    program = home / ".local/bin/landfall"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"landfall {VERSION}\n"
    packages = home / ".local/share/landfall" / VERSION
    sums = listed(packages)
    assert len(sums) == len(sbom.FUNCTIONS) + 4
    assert sums == {path: digest(packages / path) for path in sums}
    assert {file.name for file in (home / ".local").iterdir()} == {"bin", "share"}


def test_an_installation_replaces_the_one_before_and_nothing_of_others(
    copy: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    for name in ("share/landfall/0.0.9/SHA256SUMS", "bin/landfall", "bin/other", "share/man/other"):
        release.put(prefix / name, b"before")
    # A relative folder is one of the current folder.
    relative = os.path.relpath(copy)
    done = install("--from", relative, "--prefix", str(prefix), home=None)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in (prefix / "share/landfall").iterdir()] == [VERSION]
    assert (prefix / "bin/landfall").read_bytes() != b"before"
    assert (prefix / "bin/other").read_bytes() == b"before"
    assert (prefix / "share/man/other").read_bytes() == b"before"


@pytest.mark.parametrize("name", [PROGRAM, PACKAGES])
@pytest.mark.parametrize("how", ["changed", "cut off", "not listed", "missing"])
def test_a_file_that_is_not_the_listed_one_is_not_installed(
    copy: Path, tmp_path: Path, name: str, how: str
) -> None:
    file = copy / name
    if how == "changed":
        file.write_bytes(file.read_bytes().replace(b"\x00", b"\x01", 1))
    elif how == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "missing":
        file.unlink()
    else:
        lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
        (copy / "SHA256SUMS").write_text("".join(line for line in lines if name not in line))
    prefix = tmp_path / "prefix"
    release.put(prefix / "bin/landfall", b"before")
    done = install("--from", str(copy), "--prefix", str(prefix), home=None)
    assert done.returncode == 1
    assert name in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert [file for file in prefix.rglob("*") if file.is_file()] == [prefix / "bin/landfall"]
    assert (prefix / "bin/landfall").read_bytes() == b"before"


def test_a_machine_that_the_program_does_not_run_on_is_told(built: Path, tmp_path: Path) -> None:
    path = programs(tmp_path / "riscv", uname="echo Linux riscv64")
    done = install("--from", str(built), home=tmp_path, path=path)
    assert (done.returncode, "Linux riscv64" in done.stderr) == (1, True)
    # Its archive isn't in this release.
    path = programs(tmp_path / "mac", uname='[ "$1" = -s ] && echo Darwin || echo arm64')
    done = install("--from", str(built), home=tmp_path, path=path)
    assert (done.returncode, "aarch64-apple-darwin" in done.stderr) == (1, True)
    assert not (tmp_path / ".local/bin").exists()


def test_wrong_usage_is_told() -> None:
    assert install("--what", home=None).returncode == 2
    assert "--prefix" in install(home=None).stderr
    assert "Usage: install.sh" in install("--help", home=None).stdout


def test_every_address_of_a_release_follows_from_the_repository_in_cargo_toml() -> None:
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    repository = package["repository"]
    script = (ROOT / "install.sh").read_text()
    assert f"\nversion={VERSION}\nrepository={repository}\n" in script
    cli = tomllib.loads((ROOT / "cli/Cargo.toml").read_text())["package"]
    assert cli["repository"] == {"workspace": True}
    binstall = cli["metadata"]["binstall"]
    names = {"repo": repository, "version": VERSION, "target": TARGET, "bin": "landfall"}
    names["binary-ext"] = ""

    def filled(text: str) -> str:
        return re.sub(r"\{ ([a-z-]+) \}", lambda found: names[found[1]], text)

    assert filled(binstall["pkg-url"]) == f"{repository}/releases/download/v{VERSION}/{PROGRAM}"
    assert filled(binstall["bin-dir"]) == f"landfall-{VERSION}/bin/landfall"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = [
        address
        for page in pages
        for address in re.findall(r"https://[^\s)`\"']+", page.read_text())
        if "/releases/" in address or "landfall/landfall" in address
    ]
    assert found
    assert [one for one in found if not one.startswith(repository)] == []
    for version in re.findall(r"/releases/download/v([0-9.]+)/", " ".join(found)):
        assert version == VERSION
