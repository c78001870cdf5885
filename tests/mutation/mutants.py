"""Mutants of a module: its syntax tree with one small mistake each, such as a programmer makes. Pure.

What is not mutated: text, annotations, decorators, imports, assertions, and how dataclass fields are printed and compared.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "bisect_left": "bisect_right", "bisect_right": "bisect_left"}
LEFT_ALONE = ("annotation", "returns", "decorator_list")


@dataclass(frozen=True)
class Mutant:
    """One mistake. `key` names it as long as its function has that line, wherever in the file it stands."""

    key: str
    function: str
    line: int
    old: str
    new: str
    source: str  #: the whole module with the mistake


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module's source, in the order of the source."""
    tree, lines, seen = ast.parse(source), source.splitlines(), Counter[str]()
    for function, holder, name, place, node in _nodes(tree, ""):
        for other in _mistakes(node, function):
            _put(holder, name, place, other)
            old, new, line = _text(node), _text(other), getattr(node, "lineno", 0) or node.target.lineno  # type: ignore[attr-defined]
            key = f"{function} | {lines[line - 1].strip()} | {old} -> {new}"
            seen[key] += 1
            yield Mutant(f"{key} | {seen[key]}", function, line, old, new, ast.unparse(tree))
            _put(holder, name, place, node)


def _nodes(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST, str, int | None, ast.AST]]:
    """(function, parent, field, place in it, node) of all that may be mutated below a node."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert):
        return
    if isinstance(node, ast.Call) and _text(node.func) == "field":
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
        function = f"{function}.{getattr(node, 'name', 'lambda')}".lstrip(".")
    for name, value in ast.iter_fields(node):
        if name in LEFT_ALONE:
            continue
        for place, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                yield function, node, name, place, child
                yield from _nodes(child, function)


def _put(holder: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(holder, name, node)
    else:
        getattr(holder, name)[place] = node


def _but(node: ast.AST, **changes: Any) -> Any:
    other = copy(node)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


def _without(items: list[Any]) -> Iterator[list[Any]]:
    for place in range(len(items)):
        yield items[:place] + items[place + 1 :]


def _mistakes(node: ast.AST, function: str) -> Iterator[ast.AST]:  # noqa: C901, the list of mistakes in one place
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                for kind in COMPARISONS[type(op)]:
                    yield _but(node, ops=[*ops[:place], kind(), *ops[place + 1 :]])
        case ast.BoolOp(values=values):
            for left in _without(values):
                yield _but(node, values=left) if len(left) > 1 else left[0]
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield _but(node, op=OPERATORS[type(op)]())
        case ast.Constant(value=bool(value)):
            yield _but(node, value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield _but(node, value=value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if _text(test) != "TYPE_CHECKING":
            yield _but(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=ifs):
            for left in _without(ifs):
                yield _but(node, ifs=left)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield _but(node, id=NAMES[name])
        case ast.Tuple(elts=parts) if function.endswith("lambda") and len(parts) > 1:  # a key to sort by
            for left in _without(parts):
                yield _but(node, elts=left)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _text(node: ast.AST) -> str:
    """A node as source; of a statement with a body its first line."""
    return ast.unparse(node).strip().splitlines()[0]
