"""A stand-in for the Messages API on loopback, enough to drive the real Claude Code without a network.

It keeps no state: the prompt carries its own script, so that sessions in parallel never mix. A user message
that contains `script(step, step, ...)` is answered step by step, any other with `ok.`:

    {"tool": "Write", "input": {...}}   a tool call       {"text": "..."}     text, which ends the turn
    {"tools": [{"tool": ...}, ...]}     several at once   {"status": 529}     an HTTP error
    "sleep": seconds                    beside any of them: answers late
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = dict[str, Any]

# What the API calls its errors, by HTTP status.
ERRORS = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


def script(*steps: Step) -> str:
    """Return a prompt that makes the stand-in answer in these steps."""
    return f"Follow the script <<<{json.dumps(steps)}>>>"


@contextlib.contextmanager
def serving() -> Iterator[Api]:
    """Serve on a free port of the loopback interface until the block ends."""
    server = Api(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Api(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.prompts: list[str] = []  # what the user side said, for every request that may call tools

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A Claude that is killed drops its connections; that is no news."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the base class's)
        pass

    def do_HEAD(self) -> None:
        self.answer_json(200, {})

    def do_GET(self) -> None:
        self.answer_json(404, {"type": "error", "error": {"type": "not_found_error", "message": "no"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if not self.path.split("?")[0].endswith("/v1/messages"):
            self.answer_json(200, {"input_tokens": 100})
            return
        step = self.step_for(body)
        time.sleep(float(step.get("sleep", 0)))
        if "status" in step:
            kind = ERRORS.get(step["status"], "api_error")
            self.answer_json(
                step["status"], {"type": "error", "error": {"type": kind, "message": "scripted"}}
            )
            return
        message, blocks = reply(body, step)
        if body.get("stream"):
            self.answer_stream(message, blocks)
        else:
            self.answer_json(200, {**message, "content": blocks})

    def step_for(self, body: dict[str, Any]) -> Step:
        messages = body.get("messages", [])
        if not body.get("tools"):  # a side request, for a title or a summary, that may quote the prompt
            return {"text": "ok."}
        said = [text_of(message["content"]) for message in messages if message["role"] == "user"]
        self.server.prompts.append("\n".join(said))
        replies = 0
        for message in reversed(messages):
            replies += message["role"] == "assistant"
            steps = script_of(text_of(message["content"])) if message["role"] == "user" else None
            if steps is not None:
                return steps[replies] if replies < len(steps) else {"text": "ok."}
        return {"text": "ok."}

    def answer_json(self, status: int, content: object) -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def answer_stream(self, message: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for kind, data in stream(message, blocks):
            self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode())
        self.wfile.flush()


def script_of(text: str) -> list[Step] | None:
    """Return the last script of a text, None when there is none; one within another is that one's, for a subagent.

    A prompt after one that was never answered comes in one message with it.
    """
    steps, end = None, 0
    while (begin := text.find("<<<[", end)) >= 0:
        steps, end = json.JSONDecoder().raw_decode(text, begin + len("<<<"))
    return steps


def text_of(content: Any) -> str:
    """Return the text of a message, without tool calls and results."""
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content if block.get("type") == "text")


def reply(body: dict[str, Any], step: Step) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an assistant message for a step, and its content blocks apart."""
    calls = step.get("tools") or ([step] if "tool" in step else [])
    blocks = [
        {
            "type": "tool_use",
            "id": f"toolu_{uuid.uuid4().hex}",
            "name": call["tool"],
            "input": call.get("input", {}),
        }
        for call in calls
    ] or [{"type": "text", "text": step.get("text", "ok.")}]
    message = {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "m"),
        "content": [],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 20},
    }
    return message, blocks


def stream(message: dict[str, Any], blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a streamed reply."""
    yield "message_start", {"message": {**message, "stop_reason": None}}
    for index, block in enumerate(blocks):
        if block["type"] == "tool_use":
            start: dict[str, Any] = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        yield "content_block_start", {"index": index, "content_block": start}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    ends = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": ends, "usage": {"output_tokens": 20}}
    yield "message_stop", {}
