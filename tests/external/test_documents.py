"""Two published documents become one: nothing is lost, and equal names do not mix."""

import copy
from typing import Any

from specstack.external.documents import merge


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def document(path: str, **schemas: Any) -> dict[str, Any]:
    return {
        "openapi": "3.2.0",
        "tags": [{"name": path}],
        "paths": {f"/{path}": {"get": {"responses": {"200": ref(next(iter(schemas)))}}}},
        "components": {"schemas": schemas, "securitySchemes": {"Key": {"type": path}}},
    }


def test_what_is_equal_is_there_once() -> None:
    error = {"type": "object", "properties": {"detail": ref("Detail")}}
    whole = document("a", Error=error, Detail={"type": "string"})
    merge(whole, document("b", Error=copy.deepcopy(error), Detail={"type": "string"}, Own={}), "post")
    assert list(whole["components"]["schemas"]) == ["Error", "Detail", "Own"]
    assert list(whole["paths"]) == ["/a", "/b"]
    assert [tag["name"] for tag in whole["tags"]] == ["a", "b"]


def test_what_differs_is_kept_apart_with_all_that_refers_to_it() -> None:
    error = {"type": "object", "properties": {"detail": ref("Detail")}}
    kinds = {"oneOf": [ref("Error")], "discriminator": {"mapping": {"x": "#/components/schemas/Error"}}}
    whole = document("a", Error=error, Detail={"type": "string"}, Plain={})
    other = document("b", Error=copy.deepcopy(error), Detail={"type": "integer"}, Plain={}, Kinds=kinds)
    merge(whole, other, "post")
    schemas = whole["components"]["schemas"]
    assert list(schemas) == ["Error", "Detail", "Plain", "post_Error", "post_Detail", "Kinds"]
    assert schemas["Error"] == error
    assert schemas["post_Error"]["properties"]["detail"] == ref("post_Detail")
    assert schemas["Kinds"]["oneOf"] == [ref("post_Error")]
    assert schemas["Kinds"]["discriminator"]["mapping"] == {"x": "#/components/schemas/post_Error"}
    assert whole["paths"]["/a"]["get"]["responses"]["200"] == ref("Error")
    assert whole["paths"]["/b"]["get"]["responses"]["200"] == ref("post_Error")


def test_ways_to_show_who_one_is_stay_the_servers() -> None:
    whole = document("a", A={})
    merge(whole, document("b", B={}), "post")
    assert whole["components"]["securitySchemes"] == {"Key": {"type": "a"}}


def test_three_with_one_name() -> None:
    whole = document("a", Item={"type": "string"})
    merge(whole, document("b", Item={"type": "integer"}), "post")
    merge(whole, document("c", Item={"type": "number"}), "mail")
    assert {name: one["type"] for name, one in whole["components"]["schemas"].items()} == {
        "Item": "string",
        "post_Item": "integer",
        "mail_Item": "number",
    }
