"""Replays golden transcripts through the core component in Python.

usage: replay.py core.wasm core.jsonl

Needs `wasmtime` from PyPI and nothing else. Prints {"run", "passed", "differences"}. What a
component's values look like as JSON is said in tests/src/golden.rs; how they look in Python is
wasmtime's business: records are objects with attributes, enums strings, options and results are
their contents, and variants are tagged only where their cases could be mistaken for each other.
"""

import json
import sys

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Record, Variant
from wasmtime.component import (
    EnumType, ListType, OptionType, RecordType, ResultType, TupleType, VariantType,
)


def lower(value, ty):
    """JSON as an argument of a type."""
    if isinstance(ty, ListType):
        return [lower(item, ty.element) for item in value]
    if isinstance(ty, TupleType):
        return tuple(lower(item, t) for item, t in zip(value, ty.elements))
    if isinstance(ty, RecordType):
        record = Record()
        for name, field in ty.fields:
            setattr(record, name, lower(value[name], field))
        return record
    if isinstance(ty, OptionType):
        inner = None if value is None else lower(value, ty.payload)
        if ty._tagged():
            return Variant("none") if value is None else Variant("some", inner)
        return inner
    if isinstance(ty, VariantType):
        (case, payload), = value.items()
        inner = next(t for name, t in ty.cases if name == case)
        lowered = None if inner is None else lower(payload, inner)
        return Variant(case, lowered) if ty._tagged() else lowered
    return value


def lift(value, ty):
    """An answer of a type as JSON."""
    if isinstance(ty, ListType):
        return [lift(item, ty.element) for item in value]
    if isinstance(ty, TupleType):
        return [lift(item, t) for item, t in zip(value, ty.elements)]
    if isinstance(ty, RecordType):
        return {name: lift(getattr(value, name), field) for name, field in ty.fields}
    if isinstance(ty, OptionType):
        if ty._tagged():
            return None if value.tag == "none" else lift(value.payload, ty.payload)
        return None if value is None else lift(value, ty.payload)
    if isinstance(ty, (ResultType, VariantType)):
        if ty._tagged():
            tag, payload = value.tag, value.payload
        else:
            tag, payload = case_of(value, ty), value
        inner = next(t for name, t in ty._cases() if name == tag)
        name = {"err": "error"}.get(tag, tag) if isinstance(ty, ResultType) else tag
        return {name: None if inner is None else lift(payload, inner)}
    return value


def case_of(value, ty):
    """The case of an untagged variant: its cases differ in their Python types."""
    for name, inner in ty._cases():
        if inner is None:
            if value is None:
                return name
            continue
        classes = set()
        inner.add_classes(classes)
        if type(value) in classes:
            return name
    raise ValueError(f"{value!r} fits no case")


def main():
    wasm, transcripts = sys.argv[1:3]
    engine = Engine()
    store = Store(engine)
    instance = Linker(engine).instantiate(store, Component.from_file(engine, wasm))
    run, differences = 0, []
    for line in open(transcripts, encoding="utf-8"):
        if not line.strip():
            continue
        call = json.loads(line)
        run += 1
        interface = instance.get_export_index(store, f"firn:sync/{call['interface']}@0.1.0")
        function = instance.get_func(
            store, instance.get_export_index(store, call["function"], interface))
        ty = function.type(store)
        arguments = [lower(a, t) for a, (_, t) in zip(call["arguments"], ty.params)]
        answer = lift(function(store, *arguments), ty.result)
        function.post_return(store)
        if answer != call["answer"]:
            differences.append(
                f"{call['interface']}.{call['function']}: {json.dumps(answer)} "
                f"and not {json.dumps(call['answer'])}")
    print(json.dumps({"run": run, "passed": run - len(differences), "differences": differences}))


main()
