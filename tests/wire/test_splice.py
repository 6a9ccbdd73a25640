"""Changing one top-level string without a parse: same meaning for every reader, or refused."""

import json
import random

import pytest

from specstack_wire.splice import Splicer, splice_every, splice_string


@pytest.mark.parametrize(
    "raw",
    [
        '{"model":"a"}',
        '{"model": "a", "n": 1}',
        '{\n  "messages": [{"role": "user", "content": "say \\"model\\": \\"x\\""}],\n  "model"\t:\t"a"\n}',
        '{"tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}],"model":"a"}',
        '{"model":"a\\"b\\\\","x":"}{]["}',
        '{"model":"\\u00e9","text":"caf\\u00e9"}',
        '{"x":{"model":"inner"},"model":"a","y":[{"model":"inner"}]}',
    ],
)
def test_the_value_is_replaced_and_nothing_else(raw: str) -> None:
    spliced = splice_string(raw.encode(), "model", 'new "id"/é')
    assert spliced is not None
    assert json.loads(spliced) == {**json.loads(raw), "model": 'new "id"/é'}


@pytest.mark.parametrize(
    "raw",
    [
        '{"model":"a","model":"b"}',
        '{"model":"a","mod\\u0065l":"b"}',
        '{"mod\\u0065l":"a","model":"b"}',
        '{"x":{"model":"inner"}}',
        '{"model":null}',
        '{"model":{"model":"a"}}',
        '["model","a"]',
        '{"other":"a"}',
        '{"bad\\uZZZZ":1,"model":"a","model":"b"}',
        "",
    ],
)
def test_what_is_not_exactly_one_top_level_string_is_left_to_the_parser(raw: str) -> None:
    assert splice_string(raw.encode(), "model", "new") is None


def test_an_escaped_spelling_alone_is_found() -> None:
    spliced = splice_string(b'{"mod\\u0065l":"a"}', "model", "b")
    assert spliced is not None and json.loads(spliced) == {"model": "b"}


def spelled(text: str, chance: random.Random) -> str:
    """A JSON string with some characters written as escapes."""
    return (
        '"'
        + "".join(f"\\u{ord(c):04x}" if chance.random() < 0.1 else json.dumps(c)[1:-1] for c in text)
        + '"'
    )


def written(value: object, chance: random.Random) -> str:
    space = chance.choice(["", " ", "\n\t"])
    if isinstance(value, list):
        return "[" + space + ("," + space).join(written(one, chance) for one in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    return spelled(value, chance)


def an_object(chance: random.Random, depth: int = 0) -> str:
    space = chance.choice(["", " "])
    items: list[str] = []
    for _ in range(chance.randrange(5)):
        key = chance.choice(["model", "mode", "x", "é", 'a"model":"b', "\\"])
        kind = chance.randrange(4) if depth < 2 else 0
        if kind == 3:
            value = an_object(chance, depth + 1)
        elif kind == 2:
            value = "[" + ",".join(an_object(chance, depth + 1) for _ in range(chance.randrange(3))) + "]"
        else:
            value = written(
                chance.choice(["model", "é", '"', "}{", 'say "model": "x"', 1, None, ["model"]]), chance
            )
        items.append(f"{spelled(key, chance)}{space}:{space}{value}")
    return "{" + (space + "," + space).join(items) + space + "}"


def test_spliced_means_what_the_parser_says_or_nothing() -> None:
    chance = random.Random(7)
    done = 0
    splicer = Splicer("model", "new")
    for _ in range(6000):
        raw = an_object(chance)
        pairs: list[tuple[str, object]] = []
        json.loads(raw, object_pairs_hook=lambda found: (pairs.clear(), pairs.extend(found), dict(found))[2])
        models = [value for key, value in pairs if key == "model"]
        for spliced in (splice_string(raw.encode(), "model", "new"), splicer.splice(raw.encode())):
            if spliced is None:
                continue
            done += 1
            assert len(models) == 1 and isinstance(models[0], str), raw
            assert json.loads(spliced) == {**json.loads(raw), "model": "new"}, raw
        if len(models) == 1 and isinstance(models[0], str):
            assert splice_string(raw.encode(), "model", "new") is not None, raw
    assert done > 800


@pytest.mark.parametrize(
    "second",
    [
        '{"id":1,"model":"a","x":"model"}',
        '{"id":1,"model":"a","model":"b"}',
        '{"id":1,"model":"a","\\u006dodel":"b"}',
        '{"id":1,"model":"ab","x":2}',
        '{"id":1,"model":"a","x":"\\u00e9"}',
        '{"id":1,"model":null}',
        '{"id":2,"model":"a"}',
        "{}",
    ],
)
def test_a_splicer_finds_what_a_splice_finds(second: str) -> None:
    splicer = Splicer("model", "new")
    for raw in ('{"id":1,"model":"a","x":1}', second, '{"id":1,"model":"a","x":1}'):
        assert splicer.splice(raw.encode()) == splice_string(raw.encode(), "model", "new")


def test_a_key_behind_long_lists_is_found_from_the_end() -> None:
    raw = (
        '{"data":['
        + ",".join('{"embedding":[0.5,"]"]}' for _ in range(500))
        + '],"model":"a","usage":{"n":[1]}}'
    )
    spliced = splice_string(raw.encode(), "model", "new")
    assert spliced is not None and json.loads(spliced) == {**json.loads(raw), "model": "new"}
    inner = '{"data":[' + "1," * 500 + '{"model":"a"}]}'
    assert splice_string(inner.encode(), "model", "new") is None


@pytest.mark.parametrize("size", [0, 5000])
@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ('"model": "a"', '"model": "b"'),
        ('"inner": {"model": "x"}, "model": "a"', '"inner": {"model": "x"}, "model": "b"'),
        ('"model": "a", "inner": [{"model": "x"}]', '"model": "b", "inner": [{"model": "x"}]'),
        (
            '"text": "a \\"model\\": \\"x\\" {[", "model": "a"',
            '"text": "a \\"model\\": \\"x\\" {[", "model": "b"',
        ),
        ('"inner": {"model": "x"}', None),
        ('"model": "a", "model": "c"', None),
    ],
)
def test_short_and_long_objects_alike(size: int, more: str, changed: str | None) -> None:
    rows = '"rows": [{"n": [' + ", ".join(["0.5"] * size) + "]}, {}]"
    for form in ("{%s, %s}", "{%s, %s, %s}"):
        parts = (rows, more) if form.count("%s") == 2 else (rows, more, '"end": {"a": [1]}')
        raw = (form % parts).encode()
        expected = None if changed is None else (form % (parts[0], changed, *parts[2:])).encode()
        assert splice_string(raw, "model", "b") == expected


MANY = ",".join(['{"model":"q","f":1.50,"e":1e400,"twice":1,"twice":2}'] * 40)


@pytest.mark.parametrize("size", [0, 5000])
@pytest.mark.parametrize("key", ['"model"', '"m\\u006fdel"'])
@pytest.mark.parametrize("before", ["", '"text":"\\\\\\"model\\": {[\\\\","é":"}",'])
def test_however_many_keys_are_further_in_only_the_value_changes(before: str, key: str, size: int) -> None:
    rows = f'"rows":[{MANY},[{"0.50," * size}1]],"n":1e400'
    splicer = Splicer("model", "b")
    for form in ("{%s%s : %s,%s}", " {%s%s:\n%s , %s }\n"):
        raw = (form % (before, key, '"a\\"}"', rows)).encode()
        expected = (form % (before, key, '"b"', rows)).encode()
        assert splice_string(raw, "model", "b") == expected
        assert splicer.splice(raw) == splicer.splice(raw) == expected
    raw, expected = (
        f'{{{before}{rows},{key}:{value},"end":[{{"x":1.0}}]}}'.encode() for value in ('"a"', '"b"')
    )
    assert splice_string(raw, "model", "b") == expected
    assert splice_string(f"{{{before}{rows}}}".encode(), "model", "b") is None
    assert splice_string(f'{{"model":"a",{rows},{key}:"c"}}'.encode(), "model", "b") is None
    assert splice_string(f"[{{{before}{rows},{key}:1}}]".encode(), "model", "b") is None


@pytest.mark.parametrize(
    "value", ["null", "-1.50e400", "true", '"\\\\"', '{"model":["}",{}]}', '[[1, "]"], 2]', "{}"]
)
@pytest.mark.parametrize("space", ["", " \n"])
def test_every_value_of_any_kind_is_replaced(value: str, space: str) -> None:
    form = '{"a":1.50,"model"%s:%s%s%s,"x":{"model":1e400},"mod\\u0065l":%s%s}'
    raw = (form % (space, space, value, space, value, space)).encode()
    expected = (form % (space, space, '"b"', space, '"b"', space)).encode()
    assert splice_every(raw, "model", "b") == expected


def test_no_value_is_replaced_where_there_is_none() -> None:
    for raw in (b"{}", b'"model"', b'["model"]', b'[{"model":"a"}]', b'{"x":{"model":"a"},"y":"model"}'):
        assert splice_every(raw, "model", "b") is None


def read(raw: str) -> list[tuple[str, object]]:
    """The top-level items of an object, each as often as it stands there."""
    items: list[tuple[str, object]] = []
    json.loads(raw, object_pairs_hook=lambda found: (items.clear(), items.extend(found), found)[2])
    return items


@pytest.mark.parametrize(("rounds", "copies"), [(3000, 0), (600, 20)])
def test_every_value_is_what_the_parser_says(rounds: int, copies: int) -> None:
    """Also with so many keys further in that the quick search gives up."""
    chance = random.Random(11)
    one = 0
    for _ in range(rounds):
        inner = ",".join(an_object(chance) for _ in range(copies))
        items = [f'"rows":[{inner}]', *(an_object(chance)[1:-1] for _ in range(2))]
        chance.shuffle(items)
        raw = "{" + ",".join(item for item in items if item.strip()) + "}"
        before = read(raw)
        models = [value for key, value in before if key == "model"]
        every = splice_every(raw.encode(), "model", "new")
        if not models:
            assert every is None, raw
            continue
        assert every is not None, raw
        assert read(every.decode()) == [(key, "new" if key == "model" else value) for key, value in before], (
            raw
        )
        spliced = splice_string(raw.encode(), "model", "new")
        assert spliced == (every if len(models) == 1 and isinstance(models[0], str) else None), raw
        one += spliced is not None
    assert one > rounds / 10


@pytest.mark.parametrize("field", ["é", "a/b", 'q"', "\U0001f600", "tab\t"])
def test_a_field_of_any_letters_is_found(field: str) -> None:
    for ascii_only in (True, False):
        raw = f'{{{json.dumps(field, ensure_ascii=ascii_only)}:"a","x":1.50}}'.encode()
        assert splice_every(raw, field, "b") == raw.replace(b':"a"', b':"b"')
