"""Scans templates with checkov and cfn-guard, and policies with parliament.

    python tests/python/scan.py checkov PROGRAM TEMPLATE…
    python tests/python/scan.py cfn-guard FOLDER-OF-NODE-PACKAGES TEMPLATE…
    python tests/python/scan.py parliament PROGRAM TEMPLATE…

Parliament checks the policies in the templates, and those that the provisioner makes from routes.

If there is a finding, fix it or waive it. A waiver (`tests/scanners/{checkov,cfn-guard,
parliament}.yaml`) names the check, the resources of a template and the reason. A waiver without a
finding is an error too.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import policies
from expand import expanded

SCANNERS = Path(__file__).resolve().parents[1] / "scanners"
GUARD = Path("node_modules/@cdklabs/cdk-validator-cfnguard")
# The template of the stack set contains nothing else, and checkov has no check for stack sets.
UNKNOWN_TO_CHECKOV = {"stack-set"}
# The tests of our own rules: what they accept, and what they reject.
TESTED = "landfall_tests.yaml"


@dataclass(frozen=True, order=True)
class Finding:
    check: str
    template: str
    resource: str

    def __str__(self) -> str:
        return f"{self.check}: `{self.resource}` of {self.template}"


def main(scanner: str, program: str, *templates: str) -> int:
    scan = {"checkov": checkov, "cfn-guard": cfn_guard, "parliament": parliament}[scanner]
    passed, found = scan(Path(program), [Path(template) for template in templates])
    waivers = read_waivers(SCANNERS / f"{scanner}.yaml")
    problems = judged(found, waivers)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{scanner}: {len(problems)} problems", file=sys.stderr)
        return 1
    what = "policies judged" if scanner == "parliament" else "checks passed"
    print(f"{scanner}: {passed} {what}, {len(found)} findings waived with their reasons")
    return 0


def judged(found: set[Finding], waivers: dict[Finding, str]) -> list[str]:
    """Returns the problems: findings without a waiver, and waivers without a finding."""
    open_ones = [f"found, and not waived: {finding}" for finding in sorted(found - waivers.keys())]
    stale = [f"waived, and not found: {finding}" for finding in sorted(waivers.keys() - found)]
    return open_ones + stale


def read_waivers(file: Path) -> dict[Finding, str]:
    waivers: dict[Finding, str] = {}
    for waiver in yaml.safe_load(file.read_text()):
        check, reason = waiver["check"], waiver["reason"].strip()
        if not reason:
            raise ValueError(f"the waiver of `{check}` has no reason")
        for template, resources in waiver["resources"].items():
            for resource in resources:
                finding = Finding(check, template, resource)
                if finding in waivers:
                    raise ValueError(f"waived twice: {finding}")
                waivers[finding] = reason
    return waivers


def checkov(program: Path, templates: list[Path]) -> tuple[int, set[Finding]]:
    with tempfile.TemporaryDirectory() as home:
        arguments = ["--skip-download", "--framework", "cloudformation", "--output", "json"]
        for template in templates:
            arguments += ["--file", str(template)]
        report = json.loads(run([str(program), *arguments], home, (0, 1)))
    if report["summary"]["parsing_errors"]:
        raise ValueError("checkov could not read every template")
    names = {Path(file.name).stem for file in templates}
    found = {
        Finding(
            check["check_id"], Path(check["file_path"]).stem, check["resource"].rsplit(".", 1)[1]
        )
        for check in report["results"]["failed_checks"]
    }
    read = {Path(check["file_path"]).stem for check in report["results"]["passed_checks"]}
    if read != names - UNKNOWN_TO_CHECKOV:
        raise ValueError(f"checkov checked nothing of {names - read}")
    return report["summary"]["passed"], found


def cfn_guard(packages: Path, templates: list[Path]) -> tuple[int, set[Finding]]:
    guard = packages / GUARD
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        for number, given in enumerate(policies.given_to_scanners()):
            for template in templates:
                file = Path(folder) / f"{template.stem}.{number}.json"
                file.write_text(json.dumps(expanded(template, given)))
                places[file.name] = template.stem
        own = SCANNERS / "landfall.guard"
        test = ["test", "--rules-file", str(own), "--test-data", str(own.with_name(TESTED))]
        run([str(guard / program_of_this_machine()), *test], folder, (0,))
        rules = [str(guard / "rules/control-tower/cfn-guard"), str(own)]
        command = [str(guard / program_of_this_machine()), "validate", "--structured"]
        command += ["--show-summary", "none", "--output-format", "json", "--data", folder]
        # cfn-guard exits with 19 if a rule is broken.
        reports = json.loads(run([*command, "--rules", *rules], folder, (0, 19)))
    if {Path(report["name"]).name for report in reports} != places.keys():
        raise ValueError("cfn-guard did not check every template")
    passed = sum(len(report["compliant"]) for report in reports)
    found = {
        Finding(broken["Rule"]["name"], places[Path(report["name"]).name], resource)
        for report in reports
        for broken in report["not_compliant"]
        for resource in resources_of(broken)
    }
    return passed, found


def parliament(program: Path, templates: list[Path]) -> tuple[int, set[Finding]]:
    sets = [policies.of_templates(templates, given) for given in policies.given_to_scanners()]
    all_of_them = [one for found in [*sets, policies.of_routes()] for one in found.items()]
    files = {file for (file, _), _ in all_of_them}
    if not files > {"data-account", "provisioner", "infra-routes"}:
        raise ValueError("the policies of templates or of routes are missing")
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        for number, (place, document) in enumerate(all_of_them):
            file = Path(folder) / f"{number}.json"
            file.write_text(json.dumps(document))
            places[str(file)] = place
        command = [str(program), "--directory", folder, "--include_policy_extension", "json"]
        # parliament exits with 1 if it finds something.
        output = run([*command, "--include-community-auditors", "--json"], folder, (0, 1))
    reports = [json.loads(line) for line in output.splitlines() if line.strip()]
    found = {
        Finding(report["issue"], *places[report["location"]["filepath"]]) for report in reports
    }
    return len(all_of_them), found


def resources_of(broken: dict[str, Any]) -> set[str]:
    """Returns the resources that a broken rule names, at least one."""
    named = set(re.findall(r"/Resources/(\w+)", json.dumps(broken)))
    if not named:
        raise ValueError(f"rule `{broken['Rule']['name']}` is broken by no resource")
    return named


def program_of_this_machine() -> Path:
    system = {"Linux": "ubuntu", "Darwin": "macos"}[platform.system()]
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return Path("bin") / system / machine / "cfn-guard"


def run(command: list[str], home: str, accepted: tuple[int, ...]) -> str:
    """Runs a program without this machine's credentials and settings. Returns what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in accepted:
        output = (done.stderr or done.stdout)[-2000:]
        raise ValueError(f"`{command[0]}` ended with {done.returncode}: {output}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
