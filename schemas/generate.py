"""Writes the JSON Schemas of all agreed models to schemas/json/: `python -m schemas.generate`.

One file for each model that is not part of another, and one for each union that travels in a topic. For editors (YAML with
completion), other languages, and to see in a review what a change of a model changes; a test fails while they are not current.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import schemas
from schemas.base import Agreed
from schemas.fact import facts_record

FOLDER = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Unions of models, which no class stands for.
UNIONS: Mapping[str, TypeAdapter[Any]] = {"facts_record": facts_record}


def models() -> list[type[Agreed]]:
    """Every agreed model of this package, by name."""
    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"schemas.{module.name}")
    return sorted(_below(Agreed), key=lambda model: model.__name__)


def documents() -> dict[str, str]:
    """File name -> its text, for every root: a model or union that is part of no other."""
    by_name = {_snake(model.__name__): model.model_json_schema() for model in models()}
    by_name |= {name: {"title": name, **union.json_schema()} for name, union in UNIONS.items()}
    parts = {_snake(part) for schema in by_name.values() for part in schema.get("$defs", ()) if schema["title"] != part}
    return {
        f"{name}.schema.json": json.dumps({"$schema": DIALECT, **schema}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, schema in sorted(by_name.items())
        if name not in parts
    }


def write(folder: Path = FOLDER) -> None:
    """Brings the folder up to date, and removes schemas of models that are gone."""
    folder.mkdir(exist_ok=True)
    current = documents()
    for stale in set(folder.glob("*.schema.json")) - {folder / name for name in current}:
        stale.unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


def _below(model: type[Agreed]) -> Iterator[type[Agreed]]:
    for inner in model.__subclasses__():
        if inner.__module__.startswith("schemas."):
            yield inner
            yield from _below(inner)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    write()
