import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from schemas.commands import canonical_data, parse_command
from schemas.enums import EventType, TopicKind
from schemas.events import parse_rejection, parse_status, parse_step_log
from schemas.examples import COMMAND_EXAMPLES, EVENT_EXAMPLES
from schemas.export import PACKAGE_DIRECTORY, drift, export
from schemas.json_schema import json_schemas

READERS = {
    EventType.STATUS: parse_status,
    EventType.STEP_LOG: parse_step_log,
    EventType.COMMAND_REJECTED: parse_rejection,
}


def test_the_committed_files_are_those_of_the_models() -> None:
    """Who changes a model exports the documents anew."""
    assert drift() == []


def test_the_export_is_deterministic(tmp_path: Path) -> None:
    """Two exports are byte for byte the same, and are what is committed."""
    for path in export(tmp_path):
        assert path.read_bytes() == (PACKAGE_DIRECTORY / path.relative_to(tmp_path)).read_bytes()


def test_drift_names_each_file(tmp_path: Path) -> None:
    """Missing, changed and left-over files are told apart, and an export mends them all."""
    export(tmp_path)
    (tmp_path / "asyncapi.yaml").unlink()
    (tmp_path / "json" / "forecast.train.json").write_text("{}")
    (tmp_path / "json" / "forecast.gone.json").write_text("{}")
    assert drift(tmp_path) == [
        "asyncapi.yaml is missing",
        "json/forecast.gone.json belongs to no model",
        "json/forecast.train.json is not what the models say",
    ]
    export(tmp_path)
    assert drift(tmp_path) == []


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_each_schema_is_a_schema_and_its_example_fits(name: str) -> None:
    """Draft 2020-12, with an example that it accepts."""
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(json.loads(json.dumps(example)))


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_every_field_is_described(name: str) -> None:
    """The schemas are the documentation of those who write TypeScript."""
    schema = json_schemas()[name]
    for definition in [schema, *schema.get("$defs", {}).values()]:
        for field, field_schema in definition.get("properties", {}).items():
            assert field_schema.get("description"), f"{name}: {field} has no description"


@pytest.mark.parametrize("kind", list(TopicKind))
def test_command_examples_are_commands(kind: TopicKind) -> None:
    """The parser takes what the documents show."""
    assert canonical_data(parse_command(kind, COMMAND_EXAMPLES[kind]))


@pytest.mark.parametrize("event_type", list(EventType))
def test_event_examples_are_events(event_type: EventType) -> None:
    """An example is exactly what the model writes, and its schema allows what a newer service adds."""
    example = EVENT_EXAMPLES[event_type]
    text = json.dumps(example, separators=(",", ":")).encode()
    assert READERS[event_type](text).to_json() == text
    Draft202012Validator(json_schemas()[str(event_type)]).validate({**json.loads(text), "added_later": 1})


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((PACKAGE_DIRECTORY / "asyncapi.yaml").read_text())
    return document


def references(node: Any) -> list[str]:
    """Every ``$ref`` below ``node``."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for item in node.values() for found in references(item)]


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Parts of the document, and the JSON Schemas beside it."""
    document = asyncapi()
    found = references(document)
    assert found
    for reference in found:
        if reference.startswith("./"):
            assert (PACKAGE_DIRECTORY / reference).is_file()
            continue
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_the_asyncapi_document_has_the_topics_of_the_contract() -> None:
    """Four topics are read, three are written, and a NestJS client's reply topic is its own."""
    document = asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    commands = {f"forecast.{kind}" for kind in TopicKind}
    assert document["asyncapi"] == "3.0.0"
    assert addresses == commands | {"forecast.status", "forecast.step-log", "forecast.dlq", None}
    actions = [operation["action"] for operation in document["operations"].values()]
    assert sorted(actions) == ["receive"] * 4 + ["send"] * 3
