"""Spans of the real service as they arrive at a collector, over HTTP in protobuf, by the standard variables alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eval.stub import serve_in_thread
from tests.e2e.service import running
from tests.ragopt.api.fakes import eventually
from tests.ragopt.cli.running import ragopt
from tests.sockets import served

DOCUMENT = {"id": "cats", "text": "Cats sleep sixteen hours a day. They purr as well."}
QUESTION = {"question": "How long do cats sleep?", "cache": "off", "model": "small"}
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector:
    """What a collector got: the type and the key of each message, and its spans by name with their resource."""

    url: str = ""
    headers: list[tuple[str | None, str | None]] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)
    resource: dict[str, object] = field(default_factory=dict)

    async def respond(self, request: Request) -> Response:
        """Take one message of spans."""
        message = ExportTraceServiceRequest.FromString(await request.body())
        self.headers.append((request.headers.get("content-type"), request.headers.get("x-collector-key")))
        for group in message.resource_spans:
            self.resource = values(group.resource.attributes)
            self.spans |= {span.name: span for scope in group.scope_spans for span in scope.spans}
        return Response(media_type="application/x-protobuf")


def values(attributes: Iterable[KeyValue]) -> dict[str, object]:
    """Return attributes by name."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector on a free port of 127.0.0.1 for the block."""
    collector = Collector()
    with served(Starlette(routes=[Route("/v1/traces", collector.respond, methods=["POST"])])) as collector.url:
        yield collector


def variables(collector: Collector) -> dict[str, str]:
    """Return the standard variables that send spans there."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-collector-key=secret",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


def test_spans_of_an_answer_arrive_at_a_collector(tmp_path: Path) -> None:
    """The request's span goes on with the caller's trace; the model call under it has the pinned GenAI names."""
    with serve_in_thread() as stub, collecting() as collector:
        model = f'name = "small"\nprovider = "openai"\nmodel = "stub-ok"\nbase_url = "{stub.openai_url}"\n'
        (tmp_path / "ragopt.toml").write_text(f"[[models]]\n{model}", encoding="utf-8")
        with running(tmp_path / "data", **variables(collector)) as service, service.client() as client:
            client.post("/ingest", json={"documents": [DOCUMENT]}).raise_for_status()
            header = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
            client.post("/answer", json=QUESTION, headers=header).raise_for_status()
            eventually(lambda: "chat stub-ok" in collector.spans)
    assert set(collector.headers) == {("application/x-protobuf", "secret")}
    assert (collector.resource["service.name"], collector.resource["deployment.environment.name"]) == ("ragopt", "test")
    root, call = collector.spans["POST /answer"], collector.spans["chat stub-ok"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert (call.trace_id, call.parent_span_id) == (root.trace_id, root.span_id)
    told = values(call.attributes)
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "openai")
    assert told["gen_ai.request.model"] == "stub-ok"
    assert isinstance(told["gen_ai.usage.input_tokens"], int)
    assert isinstance(told["gen_ai.usage.output_tokens"], int)
    assert "cats sleep" not in str(collector.spans).lower()


def test_a_protocol_that_is_not_spoken_ends_the_check_of_the_settings(tmp_path: Path) -> None:
    """One line names the variable."""
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    checked = ragopt("config", "check", cwd=tmp_path, **wrong)
    assert (checked.returncode, checked.stderr) == (
        1,
        "ragopt config: OTEL_EXPORTER_OTLP_PROTOCOL: spans leave by http/protobuf alone, not by grpc\n",
    )
