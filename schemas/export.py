"""Writes the documents that are generated from the models, and tells when they have drifted apart."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from schemas.asyncapi import asyncapi_document
from schemas.json_schema import json_schemas

PACKAGE_DIRECTORY: Final = Path(__file__).parent
ASYNCAPI_FILE: Final = "asyncapi.yaml"
JSON_DIRECTORY: Final = "json"


class MissingYamlError(RuntimeError):
    """PyYAML is not installed; only the export needs it."""


def export(directory: Path = PACKAGE_DIRECTORY) -> list[Path]:
    """Write ``asyncapi.yaml`` and ``json/*.json`` below ``directory``; generated files that no model has go.

    Returns:
        The paths of all generated files, sorted.

    Raises:
        MissingYamlError: PyYAML is not installed.
    """
    contents = _contents()
    for path in _surplus(directory, contents):
        path.unlink()
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return sorted(directory / name for name in contents)


def drift(directory: Path = PACKAGE_DIRECTORY) -> list[str]:
    """Compare the files below ``directory`` with what ``export`` would write.

    Returns:
        One sentence for each file that is missing, differs or belongs to no model; empty if all is well.

    Raises:
        MissingYamlError: PyYAML is not installed.
    """
    contents = _contents()
    found = [f"{path.relative_to(directory)} belongs to no model" for path in _surplus(directory, contents)]
    for name, content in contents.items():
        path = directory / name
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != content:
            found.append(f"{name} is not what the models say")
    return sorted(found)


def _contents() -> dict[str, str]:
    contents = {
        f"{JSON_DIRECTORY}/{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in json_schemas().items()
    }
    return {**contents, ASYNCAPI_FILE: _as_yaml(asyncapi_document())}


def _surplus(directory: Path, contents: Mapping[str, str]) -> list[Path]:
    existing = (directory / JSON_DIRECTORY).glob("*.json")
    return sorted(path for path in existing if f"{JSON_DIRECTORY}/{path.name}" not in contents)


def _as_yaml(document: Mapping[str, Any]) -> str:
    try:
        import yaml  # noqa: PLC0415 - only the export needs it, the service does not
    except ModuleNotFoundError as error:
        raise MissingYamlError("the export needs PyYAML: pip install pyyaml, or the extra dev") from error

    # By way of JSON: plain types only, and no part shared, which YAML would write as an anchor.
    plain = json.loads(json.dumps(document))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return f"# Generated from the models by `forecast-consumer schemas export`: do not edit.\n{text}"
