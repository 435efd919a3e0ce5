"""Which route answers a path, and that the OpenAPI document describes each of them."""

from typing import Any

import msgspec
import pytest

from evaluator.http.messages import Problem, Request
from evaluator.http.routes import ROUTES, Router, get_openapi

PLAIN: Any = None
"""The service: none of these handlers asks it."""


async def _document() -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode((await get_openapi(PLAIN, Request("", {}))).body)
    return document


@pytest.mark.parametrize("path", ["/flags", "/flags/"])
def test_a_slash_at_the_end_of_a_path_makes_no_difference(path: str) -> None:
    assert Router().find("POST", path)[0].template == "/flags"


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/persons/ada", "/persons/{id}", {"id": "ada"}),
        ("/persons/a b%41", "/persons/{id}", {"id": "a b%41"}),
        ("/persons/café/", "/persons/{id}", {"id": "café"}),
        ("/cohorts/buyers/members", "/cohorts/{key}/members", {"key": "buyers"}),
        ("/persons/ada/why/buyers", "/persons/{id}/why/{cohort}", {"id": "ada", "cohort": "buyers"}),
    ],
)
def test_the_places_of_a_template_are_taken_as_the_server_decoded_them(
    path: str, template: str, values: dict[str, str]
) -> None:
    route, found = Router().find("GET", path)
    assert (route.template, found) == (template, values)


@pytest.mark.parametrize(
    "path", ["/", "/flag", "/flags/x", "/persons//", "/cohorts/buyers", "/cohorts//members", "/FLAGS"]
)
def test_what_nobody_serves_is_not_found(path: str) -> None:
    with pytest.raises(Problem) as refused:
        Router().find("GET", path)
    assert (refused.value.status, refused.value.body.code) == (404, "not_found")


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", "/flags", "POST"), ("DELETE", "/persons/ada", "GET")])
def test_another_method_is_refused_and_the_right_one_named(method: str, path: str, allowed: str) -> None:
    with pytest.raises(Problem) as refused:
        Router().find(method, path)
    assert refused.value.status == 405
    assert ("allow", allowed) in refused.value.headers


async def test_every_route_is_in_the_document_and_nothing_else() -> None:
    paths = (await _document())["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {(route.method, route.template) for route in ROUTES}


async def test_every_place_in_a_path_is_a_required_parameter() -> None:
    for path, methods in (await _document())["paths"].items():
        for operation in methods.values():
            required = {each["name"] for each in operation.get("parameters", []) if each["required"]}
            assert required == {segment[1:-1] for segment in path.split("/") if segment.startswith("{")}


async def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = await _document()
    text = msgspec.json.encode(document).decode()
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names
    assert names <= set(document["components"]["schemas"])


async def test_operations_have_names_of_their_own() -> None:
    paths = (await _document())["paths"]
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(names)) == len(names)
