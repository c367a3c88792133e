"""The Terraform module fits the templates. No Terraform runs here: a workflow validates it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cfnlint.decode
import hcl2
import pytest

INFRA = Path(__file__).parents[2] / "infra"
MODULE = INFRA / "terraform"
# Each stack of the module, with its template.
STACKS = {
    "data_artifacts": "artifacts",
    "analytics_artifacts": "artifacts",
    "data_provisioner": "provisioner",
    "analytics_provisioner": "provisioner",
    "analytics": "analytics-account",
    "data": "data-account",
    "data_auditor": "auditor",
    "analytics_auditor": "auditor",
}


def read(file: str) -> dict[str, Any]:
    """Returns what a file of the module says, with its strings as they are meant."""

    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {plain(key): plain(value) for key, value in node.items()}
        if isinstance(node, list):
            return [plain(item) for item in node]
        if isinstance(node, str) and node.startswith('"') and node.endswith('"'):
            return json.loads(node)
        return node

    return plain(hcl2.loads((MODULE / file).read_text()))


def blocks(file: str, kind: str) -> dict[str, Any]:
    """Returns the blocks of a kind, by their last label."""
    found: dict[str, Any] = {}
    for block in read(file).get(kind, []):
        [(label, body)] = block.items()
        if kind == "resource":
            for name, inner in body.items():
                found[f"{label}.{name}"] = inner
        else:
            found[label] = body
    return found


def local(name: str) -> Any:
    return {name: value for one in read("main.tf")["locals"] for name, value in one.items()}[name]


def template(name: str, text: str | None = None) -> dict[str, Any]:
    source = (INFRA / f"{name}.yaml").read_text() if text is None else text
    decoded, problems = cfnlint.decode.decode_str(source)
    assert not problems
    return json.loads(json.dumps(decoded, default=str))


def passed(stack: str) -> set[str]:
    parameters = blocks("main.tf", "resource")[f"aws_cloudformation_stack.{stack}"]["parameters"]
    return set(re.findall(r"\b([A-Z][A-Za-z]+)[\"']?\s*[=:](?!=)", json.dumps(parameters)))


def test_every_stack_of_the_module_is_looked_at() -> None:
    resources = blocks("main.tf", "resource")
    prefix = "aws_cloudformation_stack."
    assert {
        name.removeprefix(prefix) for name in resources if name.startswith(prefix)
    } == STACKS.keys()


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_gets_only_parameters_of_its_template_and_all_that_have_no_default(
    stack: str,
) -> None:
    parameters = template(STACKS[stack])["Parameters"]
    required = {name for name, about in parameters.items() if "Default" not in about}
    # The template that is uploaded has a default for the external ID.
    assert required - {"ExternalId"} <= passed(stack) <= parameters.keys()
    secret = {name for name, about in parameters.items() if about.get("NoEcho")}
    assert not passed(stack) & secret, "the state would have it"


@pytest.mark.parametrize("name", ["provisioner", "analytics-account", "data-account", "auditor"])
def test_every_path_of_a_template_is_replaced(name: str) -> None:
    text = (INFRA / f"{name}.yaml").read_text()
    paths = set(
        re.findall(r"^ +((?:CodeUri|ContentUri|Location|ScriptLocation): (?!!).+)$", text, re.M)
    )
    module = (MODULE / "main.tf").read_text()
    replaced = set(re.findall(r'replace\([^"]+(?:"[a-z-]+"\])?, "([A-Za-z]+: [^"]+)", ', module))
    assert paths
    assert paths <= replaced
    folders = {
        path.removeprefix("CodeUri: ").strip("/") for path in paths if path.startswith("CodeUri")
    }
    assert folders <= set(re.findall(r"[a-z]+", str(local("functions"))))


@pytest.mark.parametrize(
    ("name", "parameter", "before", "after"),
    [
        ("data-account", "ExternalId", "external_id", "resolved"),
        ("analytics-account", "ExternalId", "external_id", "resolved"),
        ("analytics-account", "PreviousExternalId", "previous_external_id", "resolved_previous"),
    ],
)
def test_cloudformation_reads_the_external_id_and_hides_it(
    name: str, parameter: str, before: str, after: str
) -> None:
    text = (INFRA / f"{name}.yaml").read_text()
    assert text.count(local(before)) == 1
    made = template(name, text.replace(local(before), local(after)))
    variable = "external_id_parameter" if before == "external_id" else f"{before}_parameter"
    reference = "{{resolve:ssm:${var." + variable + "}}}"
    others = template(name)["Parameters"]
    about = {"Type": "String", "NoEcho": True, "Default": reference}
    assert made["Parameters"][parameter] == about | {
        "Description": others[parameter]["Description"]
    }
    assert made["Parameters"] | {parameter: None} == others | {parameter: None}


def test_every_output_is_one_of_its_template_and_a_conditional_one_may_be_absent() -> None:
    reached = 0
    for name, output in blocks("outputs.tf", "output").items():
        value = output["value"]
        for stack, key in re.findall(r"aws_cloudformation_stack\.(\w+)\.outputs\.(\w+)", value):
            assert "Condition" not in template(STACKS[stack])["Outputs"][key], name
            reached += 1
        for stack, key in re.findall(
            r"lookup\(aws_cloudformation_stack\.(\w+)\.outputs, \"(\w+)\"", value
        ):
            assert "Condition" in template(STACKS[stack])["Outputs"][key], name
            reached += 1
    assert reached >= 9


def test_the_example_gives_what_the_module_asks_for_and_nothing_else() -> None:
    variables = blocks("variables.tf", "variable")
    [module] = blocks("examples/complete/main.tf", "module").values()
    given = module.keys() - {"source", "providers", "__is_block__"}
    required = {name for name, about in variables.items() if "default" not in about}
    assert required <= given <= variables.keys()
    of_stacks = {"analytics_parameters": "analytics-account", "data_parameters": "data-account"}
    for name, of in of_stacks.items():
        assert module[name].keys() <= template(of)["Parameters"].keys()


def test_every_variable_is_used_and_described_and_what_is_used_is_one() -> None:
    variables = blocks("variables.tf", "variable")
    assert all(about["description"] for about in variables.values())
    used = set(re.findall(r"\bvar\.(\w+)", (MODULE / "main.tf").read_text()))
    assert used == variables.keys()
    names = [name for one in read("main.tf")["locals"] for name in one if not name.startswith("__")]
    assert sorted(names) == sorted(
        set(re.findall(r"\blocal\.(\w+)", (MODULE / "main.tf").read_text()))
    )
