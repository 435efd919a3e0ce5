"""POST /flags/context: everything with which a server decides one person's flags itself."""

from __future__ import annotations

import msgspec

from cohort_store.access_keys import Right
from cohort_store.subjects import ID_BYTES_MAX
from evaluator.definitions.catalog import Catalog, TeamCatalog
from evaluator.http.bodies import decode_body
from evaluator.http.messages import Request, Response, answer, invalid
from evaluator.http.service import Service
from evaluator.push.channels import context_of
from evaluator.push.contexts import CohortName, ContextAnswer, ContextRequest, FlagDefinitions

_decoder = msgspec.json.Decoder(ContextRequest)


async def post_context(service: Service, request: Request) -> Response:
    team = service.authorized(request).team
    body = decode_body(request, _decoder)
    if body.registry_version != service.registry.catalog.version:
        service.authorized(msgspec.structs.replace(request, right=Right.READ_DEFINITIONS))
    watched, context = False, None
    if body.distinct_id is not None:
        distinct_id = _checked(str(body.distinct_id))
        # First: what changes while she is looked at must be told.
        watched = bool(body.stream) and service.push.watch(body.stream, team, distinct_id)
        look = await service.push.look(team, distinct_id)
        context = context_of(distinct_id, look)
    catalog = service.registry.catalog
    return answer(
        ContextAnswer(
            registry_version=catalog.version,
            evaluated_at=service.clock.now_ms(),
            watched=watched,
            context=context,
            definitions=None if body.registry_version == catalog.version else _definitions(catalog, team),
        )
    )


def _definitions(catalog: Catalog, team: int) -> FlagDefinitions:
    of_team: TeamCatalog = catalog.team(team)
    names = [CohortName(cohort.id, cohort.key, cohort.number) for cohort in of_team.cohorts.values()]
    return FlagDefinitions(list(of_team.registry.flags), names)


def _checked(distinct_id: str) -> str:
    if not distinct_id:
        raise invalid("distinct_id", "required", "distinct_id is empty; send the id of the person, or leave it out")
    if len(distinct_id.encode()) > ID_BYTES_MAX:
        raise invalid("distinct_id", "too_long", f"distinct_id is longer than {ID_BYTES_MAX} bytes; send a shorter id")
    return distinct_id
