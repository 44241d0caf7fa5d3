"""Faults, planted by script: in a parsed file, one change of a function at a time, chosen alike in every run.

A fault is found again by its file, function and text, and not by its line: what is planted today is planted after a
change elsewhere, too.
"""

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from resolvers.kernel.ground.policy import GATES, Action

FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """`old`, `new`: what is changed in the file's tree; or `action`: another one for the operation."""

    kind: str
    file: Path
    function: str
    before: str
    after: str
    old: ast.AST | None = None
    new: ast.AST | None = None
    operation: str | None = None
    action: Action | None = None

    def planted(self, text: str) -> ast.Module:
        """The file with the fault in it."""
        assert self.old is not None
        assert self.new is not None
        tree = ast.parse(text)
        _replace(tree, self.old, self.new)
        return tree

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.name} {self.function}"

    @property
    def place(self) -> int:
        """Where it stands among all: by chance, and always the same."""
        return crc32(f"{self.file.stem} {self.function} {self.kind} {self.before}".encode())


def faults_in(file: Path, root: Path) -> Iterator[Fault]:
    tree = ast.parse(file.read_text())
    for function, name in _functions(tree, ""):
        for decorator in function.decorator_list:
            yield from _swapped(decorator, file.relative_to(root), name)
        for node in _own(function):
            for kind, changed in CHANGES.items():
                for old, new in changed(node):
                    shown = "nothing" if isinstance(new, ast.Pass) else ast.unparse(new)
                    yield Fault(kind, file.relative_to(root), name, ast.unparse(old), shown, old, new)


def chosen(files: Iterable[Path], root: Path, number: int) -> list[Fault]:
    """As many of each kind as there are, in turn, and of no function two."""
    kinds = dict[str, list[Fault]]()
    for file in files:
        for fault in faults_in(file, root):
            kinds.setdefault(fault.kind, []).append(fault)
    waiting = [sorted(faults, key=lambda fault: fault.place) for _, faults in sorted(kinds.items())]
    found, seen = list[Fault](), set[str]()
    while len(found) < number and any(waiting):
        for faults in waiting:
            while faults and faults[0].name in seen:
                faults.pop(0)
            if faults and len(found) < number:
                found.append(faults.pop(0))
                seen.add(found[-1].name)
    return found


# ---- kinds of change -------------------------------------------------------------------------------------------------


def _flipped(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in FLIPS:
        made = copy.deepcopy(node)
        made.ops[0] = FLIPS[type(node.ops[0])]()
        yield node, made


def _less(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """One part of what has to hold together, or of what is enough."""
    if isinstance(node, ast.BoolOp):
        made = copy.deepcopy(node)
        made.values.pop()
        yield node, made.values[0] if len(made.values) == 1 else made
    if isinstance(node, ast.List) and len(node.elts) > 1 and all(isinstance(e, ast.Compare) for e in node.elts):
        shorter = copy.deepcopy(node)
        shorter.elts.pop()
        yield node, shorter


def _positive(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, node.operand


def _unguarded(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """A refusal, or what is left early, does not come."""
    if isinstance(node, ast.If) and not node.orelse and isinstance(node.body[-1], (ast.Raise, ast.Return)):
        yield node, ast.Pass()


def _undone(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What is called for its effect, or as a guard, is not."""
    if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Await, ast.Call)):
        yield node, ast.Pass()


def _other(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
        yield node, ast.Return(ast.Constant(not node.value.value))


CHANGES: dict[str, Callable[[ast.AST], Iterator[tuple[ast.AST, ast.AST]]]] = {
    "comparison flipped": _flipped,
    "condition dropped": _less,
    "negation dropped": _positive,
    "guard dropped": _unguarded,
    "call dropped": _undone,
    "answer turned": _other,
}


def _swapped(decorator: ast.expr, file: Path, name: str) -> Iterator[Fault]:
    """An operation is opened to other roles."""
    given = decorator.args if isinstance(decorator, ast.Call) else []
    if len(given) < 2 or not isinstance(given[0], ast.Constant):
        return
    said = given[1]
    if isinstance(said, ast.Attribute) and ast.unparse(said.value) == "Action" and said.attr in Action.__members__:
        action = Action[said.attr]
        others = [other for other in Action if GATES[other] and GATES[other] != GATES[action]]
        other = others[crc32(name.encode()) % len(others)]
        operation = str(given[0].value)
        yield Fault("role swapped", file, name, str(action), str(other), operation=operation, action=other)


# ---- trees -----------------------------------------------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(node: ast.AST, above: str) -> Iterator[tuple[Function, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child, f"{above}{child.name}"
            yield from _functions(child, f"{above}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{above}{child.name}.")
        else:
            yield from _functions(child, above)


def _own(function: Function) -> Iterator[ast.AST]:
    """Of its body; what a function within it holds is that one's."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node
            waiting += ast.iter_child_nodes(node)


def _replace(tree: ast.Module, old: ast.AST, new: ast.AST) -> None:
    """In another tree of the file, the node that stands where `old` does."""
    where = (type(old), old.lineno, old.col_offset, old.end_lineno, old.end_col_offset)  # type: ignore[attr-defined]

    class Change(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if hasattr(node, "lineno") and where == (
                type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset,  # type: ignore[attr-defined]
            ):  # fmt: skip
                return ast.copy_location(copy.deepcopy(new), node)
            return self.generic_visit(node)

    Change().visit(tree)
    ast.fix_missing_locations(tree)
