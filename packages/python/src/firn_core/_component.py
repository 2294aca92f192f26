"""The component itself, and how its values become Python's and back.

It imports nothing: no clock, no network, no files. An instance belongs to one thread; each thread that calls has
its own. Machine code is kept in the user's cache directory, so that only the first start compiles.
"""

from __future__ import annotations

import dataclasses
import functools
import keyword
import threading
import typing
from importlib import resources
from typing import Any, Callable, Union

from wasmtime import Config, Engine, Store, WasmtimeError
from wasmtime.component import Component, Linker, Record, Variant
from wasmtime.component import (
    EnumType,
    ListType,
    OptionType,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)


class CoreError(Exception):
    """What the core says is wrong: a text, or the faults of a document."""

    def __init__(self, payload: Any) -> None:
        super().__init__(payload)
        self.payload = payload


@functools.lru_cache(maxsize=None)
def _loaded() -> tuple[Engine, Component]:
    config = Config()
    try:
        config.cache = True
    except WasmtimeError:
        pass  # Where there is no home there is no cache.
    engine = Engine(config)
    bytes_ = (resources.files(__package__) / "core.wasm").read_bytes()
    return engine, Component(engine, bytes_)


class _Instance:
    def __init__(self) -> None:
        engine, component = _loaded()
        self.store = Store(engine)
        self.instance = Linker(engine).instantiate(self.store, component)
        self.functions: dict[tuple[str, str], Any] = {}

    def function(self, interface: str, name: str) -> Any:
        known = self.functions.get((interface, name))
        if known is None:
            outer = self.instance.get_export_index(self.store, f"firn:sync/{interface}@0.1.0")
            inner = self.instance.get_export_index(self.store, name, outer)
            function = self.instance.get_func(self.store, inner)
            known = self.functions[(interface, name)] = (function, function.type(self.store))
        return known


_own = threading.local()


def call(interface: str, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the component's function that a function of this package stands for."""
    instance = getattr(_own, "instance", None)
    if instance is None:
        instance = _own.instance = _Instance()
    exported, type_ = instance.function(interface, name)
    given = [_lower(a, t) for a, (_, t) in zip(arguments, type_.params)]
    try:
        answer = exported(instance.store, *given)
        exported.post_return(instance.store)
    except WasmtimeError:
        # After a trap an instance cannot be used any more.
        _own.instance = None
        raise
    hint = _hints(function)["return"]
    result = type_.result
    if isinstance(result, ResultType):
        tag, payload = _case(answer, result)
        inner = dict(result._cases())[tag]
        if tag == "err":
            # Faults are the same in every interface.
            raise CoreError(_lift(payload, inner, _faults() if isinstance(inner, ListType) else _error(function)))
        return None if inner is None else _lift(payload, inner, hint)
    return _lift(answer, result, hint)


def _faults() -> Any:
    from .settings import Fault

    return list[Fault]


def _error(function: Callable[..., Any]) -> Any:
    """The type of what a function refuses with, if its module names one."""
    import sys

    module = sys.modules[function.__module__]
    return getattr(module, "Untranslatable", str)


@functools.lru_cache(maxsize=None)
def _hints(of: Any) -> dict[str, Any]:
    return typing.get_type_hints(of)


def _snake(name: str) -> str:
    name = name.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def _lower(value: Any, type_: Any) -> Any:
    if isinstance(type_, ListType):
        return [_lower(item, type_.element) for item in value]
    if isinstance(type_, TupleType):
        return tuple(_lower(item, t) for item, t in zip(value, type_.elements))
    if isinstance(type_, RecordType):
        record = Record()
        for name, field in type_.fields:
            setattr(record, name, _lower(getattr(value, _snake(name)), field))
        return record
    if isinstance(type_, OptionType):
        if not type_._tagged():
            return None if value is None else _lower(value, type_.payload)
        return Variant("none") if value is None else Variant("some", _lower(value, type_.payload))
    if isinstance(type_, VariantType):
        case = value._case
        inner = dict(type_.cases)[case]
        payload = None if inner is None else _lower(value.value, inner)
        return Variant(case, payload) if type_._tagged() else payload
    return value


def _lift(value: Any, type_: Any, hint: Any) -> Any:
    if isinstance(type_, OptionType):
        if type_._tagged():
            value = None if value.tag == "none" else value.payload
        return None if value is None else _lift(value, type_.payload, hint)
    if isinstance(type_, ListType):
        (item,) = typing.get_args(hint)
        return [_lift(one, type_.element, item) for one in value]
    if isinstance(type_, TupleType):
        hints = typing.get_args(_one(hint, lambda h: typing.get_origin(h) is tuple))
        return tuple(_lift(one, t, h) for one, t, h in zip(value, type_.elements, hints))
    if isinstance(type_, RecordType):
        class_ = _one(hint, dataclasses.is_dataclass)
        hints = _hints(class_)
        lifted = {}
        for name, field in type_.fields:
            lifted[_snake(name)] = _lift(getattr(value, name), field, hints[_snake(name)])
        return class_(**lifted)
    if isinstance(type_, VariantType):
        tag, payload = _case(value, type_)
        inner = dict(type_.cases)[tag]
        class_ = _one(hint, lambda h: getattr(h, "_case", None) == tag)
        return class_() if inner is None else class_(_lift(payload, inner, _hints(class_)["value"]))
    return value


def _one(hint: Any, fits: Callable[[Any], bool]) -> Any:
    """The one among the types of a union that fits."""
    among = typing.get_args(hint) if typing.get_origin(hint) is Union else (hint,)
    return next(one for one in among if fits(one))


def _case(value: Any, type_: Any) -> tuple[str, Any]:
    """A variant's case and what is in it. Where the cases' Python types differ the value comes bare."""
    if type_._tagged():
        return value.tag, value.payload
    for name, inner in type_._cases():
        if inner is None:
            if value is None:
                return name, None
            continue
        classes: set[type] = set()
        inner.add_classes(classes)
        if type(value) in classes:
            return name, value
    raise TypeError(f"{value!r} fits no case")
