"""What can be exported and where to: formats, feed templates, types of platforms, fields of a catalogue."""

import json

from aiohttp import web

from services.gateway.answers import discovery as answers
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.errors import BadQuery
from services.gateway.http.route import Caller, Parameter, Route
from services.wire import exporter_pb2 as pb

COLLECTION = Parameter(
    "collection", "Which one.", {"type": "string", "enum": ["products", "suppliers"], "default": "products"}
)


class DiscoveryRoutes:
    """`/formats`, `/exports/templates`, `/platform-types` and `/catalogue/fields`."""

    def __init__(self, exporter: ExporterClient, delivery: DeliveryClient | None) -> None:
        self._exporter = exporter
        self._delivery = delivery

    @Route("GET", "/formats", "", (200, answers.FormatList))
    async def list_formats(self, request: web.Request, caller: Caller) -> answers.FormatList:  # noqa: ARG002  the same for every tenant
        """List formats, with their options."""
        found = await self._exporter.formats()
        items = [
            answers.FormatDescription(
                name=one.name,
                media_type=one.media_type,
                extension=one.extension,
                options_schema=json.loads(one.options_schema_json),
            )
            for one in found
        ]
        return answers.FormatList(items=items)

    @Route("GET", "/exports/templates", "", (200, answers.TemplateList))
    async def list_templates(self, request: web.Request, caller: Caller) -> answers.TemplateList:  # noqa: ARG002  the same for every tenant
        """List feed templates, with the columns and rules of their receivers."""
        return answers.TemplateList(items=[_template(one) for one in await self._exporter.templates()])

    @Route("GET", "/platform-types", "", (200, answers.PlatformTypeList))
    async def list_platform_types(self, request: web.Request, caller: Caller) -> answers.PlatformTypeList:  # noqa: ARG002  the same for every tenant
        """List types of platforms, with their configuration."""
        found = [] if self._delivery is None else await self._delivery.platform_types()
        items = [
            answers.PlatformTypeDescription(name=one.name, config_schema=json.loads(one.config_schema_json))
            for one in found
        ]
        return answers.PlatformTypeList(items=items)

    @Route("GET", "/catalogue/fields", "exports:read", (200, answers.CatalogueFields), [COLLECTION])
    async def list_catalogue_fields(self, request: web.Request, caller: Caller) -> answers.CatalogueFields:
        """List the fields of the catalogue, with their types and how many products have them.

        From a sample of at most 1,000 documents, which is at most half a minute old. Fields of earlier exports that the
        sample lacks are listed without types.
        """
        collection = request.query.get(COLLECTION.name, "products")
        if not collection:
            raise BadQuery(COLLECTION.name, f"must be one of {', '.join(COLLECTION.schema['enum'])}")
        found = await self._exporter.fields(caller.tenant, collection)
        items = [
            answers.CatalogueField(
                name=one.name,
                types=list(one.types),
                filled=round(one.filled_documents / max(1, found.sampled_documents), 3),
                example=one.example or None,
                keyed_by=answers.KEYS.get(one.keyed_by),
            )
            for one in found.fields
        ]
        return answers.CatalogueFields(
            collection=collection,
            items=items,
            sampled_documents=found.sampled_documents,
            total_documents=found.total_documents,
        )


def _template(one: pb.TemplateDescription) -> answers.TemplateDescription:
    columns = [
        answers.TemplateColumn(
            name=column.name,
            required=column.required,
            kind=column.kind,
            values=list(column.values) or None,
            max_length=column.max_length or None,
            rules=[answers.TemplateRule(reason=rule.reason, rule=rule.rule) for rule in column.rules],
        )
        for column in one.columns
    ]
    return answers.TemplateDescription(
        name=one.name,
        title=one.title,
        formats=list(one.formats),
        sources=list(one.sources),
        read_on=one.read_on,
        columns=columns,
        one_of=[list(group.columns) for group in one.one_of],
    )
