"""The metric math that alarms need: it takes one period's values and returns one value."""

from __future__ import annotations

import ast
import operator
import statistics
from collections.abc import Callable
from typing import Any

OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
OF_MANY: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "MAX": max,
    "MIN": min,
    "AVG": statistics.fmean,
}


class Unsupported(Exception):
    """An alarm or an expression that only CloudWatch itself can evaluate."""


def evaluated(
    wanted: str, expressions: dict[str, str], values: dict[str, float | None]
) -> float | None:
    """Returns the value of an ID, which names a metric or an expression over other IDs.

    Returns `None` if there is no datum. Raises Unsupported.
    """
    if wanted in values:
        return values[wanted]
    try:
        tree = ast.parse(expressions[wanted], mode="eval").body
    except SyntaxError:
        raise Unsupported(f"`{expressions[wanted]}` is not supported") from None
    return Evaluation(expressions, values).of(tree)


class Evaluation:
    def __init__(self, expressions: dict[str, str], values: dict[str, float | None]) -> None:
        self.expressions = expressions
        self.values = values

    def of(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as value):
                return float(value)
            case ast.Name(id=name) if name in self.values or name in self.expressions:
                return evaluated(name, self.expressions, self.values)
            case ast.List(elts=items):
                return [self.of(item) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.applied(operator.sub, 0.0, self.of(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return self.applied(OPERATORS[type(op)], self.of(left), self.of(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
                return self.applied(OPERATORS[type(op)], self.of(left), self.of(right))
            case ast.Call(func=ast.Name(id="METRICS"), args=[]):
                return list(self.values.values())
            case ast.Call(func=ast.Name(id="FILL"), args=[of, ast.Constant() as instead]):
                return filled(self.of(of), self.of(instead))
            case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
                holds = self.of(condition)
                if holds is None:
                    return None
                return self.of(then) if holds else self.of(otherwise)
            case ast.Call(func=ast.Name(id=name), args=[of]) if name in OF_MANY:
                many = self.of(of)
                if not isinstance(many, list):
                    raise Unsupported(f"`{name}` of one series")
                there = [value for value in many if value is not None]
                return OF_MANY[name](there) if there else None
        raise Unsupported(f"`{ast.unparse(node)}` is not supported")

    @staticmethod
    def applied(function: Callable[[float, float], float], left: Any, right: Any) -> Any:
        """Returns `None` if one of the two is missing, or for a division by zero."""
        if left is None or right is None or (function is operator.truediv and right == 0):
            return None
        return float(function(left, right))


def filled(value: Any, instead: float) -> Any:
    if isinstance(value, list):
        return [filled(one, instead) for one in value]
    return instead if value is None else value
