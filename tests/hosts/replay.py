"""Replays golden transcripts in Python, through the package as its users install it.

usage: replay.py core.jsonl types.json

Prints {"run", "passed", "differences"}. What a component's values look like as JSON is said in
tests/src/golden/mod.rs; types.json tells the functions' types.
"""

import dataclasses
import importlib
import json
import keyword
import sys
import typing

import firn_core


def snake(name):
    name = name.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def from_json(value, hint):
    """A transcript's value as the package takes it."""
    origin, among = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        if value is None:
            return None
        among = [one for one in among if one is not type(None)]
        if len(among) == 1:
            return from_json(value, among[0])
        ((case, payload),) = value.items()
        class_ = next(one for one in among if one._case == case)
        inner = typing.get_type_hints(class_).get("value")
        return class_() if inner is None else class_(from_json(payload, inner))
    if origin is list:
        return [from_json(item, among[0]) for item in value]
    if origin is tuple:
        return tuple(from_json(item, one) for item, one in zip(value, among))
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        names = {snake(name): name for name in value}
        return hint(**{f.name: from_json(value[names[f.name]], hints[f.name]) for f in dataclasses.fields(hint)})
    return value


def to_json(value):
    """What the package gave as a transcript has it."""
    if dataclasses.is_dataclass(value):
        if hasattr(value, "_case"):
            return {value._case: to_json(getattr(value, "value", None))}
        return {f.name.rstrip("_").replace("_", "-"): to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def asked(call, may_fail):
    module = importlib.import_module(f"firn_core.{snake(call['interface'])}")
    function = getattr(module, snake(call["function"]))
    hints = [h for name, h in typing.get_type_hints(function).items() if name != "return"]
    try:
        answer = to_json(function(*(from_json(a, h) for a, h in zip(call["arguments"], hints))))
    except firn_core.CoreError as error:
        return {"error": to_json(error.payload)}
    return {"ok": answer} if may_fail else answer


def main():
    transcripts, types = sys.argv[1:3]
    with open(types, encoding="utf-8") as file:
        fail = {(f["interface"], f["name"]) for f in json.load(file) if "result" in f["result"]}
    run, differences = 0, []
    for line in open(transcripts, encoding="utf-8"):
        if not line.strip():
            continue
        call = json.loads(line)
        run += 1
        answer = asked(call, (call["interface"], call["function"]) in fail)
        if answer != call["answer"]:
            differences.append(
                f"{call['interface']}.{call['function']}: {json.dumps(answer)} "
                f"and not {json.dumps(call['answer'])}")
    print(json.dumps({"run": run, "passed": run - len(differences), "differences": differences}))


main()
