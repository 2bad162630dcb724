"""OpenAI's API for completions, `/v1/completions` and `/v1/models`."""

import asyncio
import json
import random
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from primer_tf.serving.choice import Choice, Part, collect, logprobs_entry
from primer_tf.serving.completion_model import CompletionModel
from primer_tf.serving.completion_request import CompletionRequest, read_request
from primer_tf.serving.config import ServerConfig
from primer_tf.serving.continuous_batching import Row, Sampling, Tokens
from primer_tf.serving.limits import read_body
from primer_tf.serving.manager import ModelManager, State
from primer_tf.serving.status import Code, ServingError, from_exception, invalid
from primer_tf.serving.workers import Workers

_MODEL = re.compile(r"([^/:]+)(?:/versions/(\d{1,18})|/labels/([^/:]+))?")
_MAX_SEED = 2**31


class CompletionsApi:
    """Answers at `/v1/completions`, in whole or as a stream, and at `/v1/models`.

    Args:
        manager: The models.
        workers: Counts the requests, and has threads for what takes long.
        config: The limits. Its timeout also holds from one event to the next.
    """

    def __init__(self, manager: ModelManager, workers: Workers, config: ServerConfig) -> None:
        self._manager = manager
        self._workers = workers
        self._config = config
        self.router = APIRouter()
        self.router.add_api_route("/v1/models", self.models, methods=["GET"])
        self.router.add_api_route("/v1/completions", self.complete, methods=["POST"])

    async def models(self) -> Response:
        """Lists the models and their versions."""
        found = [v for v in self._manager.statuses() if v.state is State.AVAILABLE]
        names = {name: None for v in found for name in (v.model, f"{v.model}/versions/{v.number}")}
        data = [{"id": name, "object": "model", "owned_by": "primer_tf"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def complete(self, http_request: Request) -> Response:
        """Completes prompts."""
        try:
            body = await read_body(http_request, self._config)
            request = read_request(body)
            found = _MODEL.fullmatch(request.model)
            if found is None:
                raise invalid(f"model is {request.model[:64]!r}; give a name from /v1/models.")
            events = self._events(request, *found.groups())
            if not request.stream:
                return JSONResponse([event async for event in events][-1])
            first = await anext(events)  # so that an error still has its status
        except ServingError as error:
            return JSONResponse(_error(error), error.code.http_status)
        return StreamingResponse(_server_sent(first, events), media_type="text/event-stream")

    async def _events(
        self, request: CompletionRequest, name: str, number: str | None, label: str | None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields the parts of a stream, or the whole answer."""
        version_number = None if number is None else int(number)
        known = name if name in self._manager.configs else ""
        with (
            self._workers.request("completions", known),
            self._manager.use(name, version_number, label) as version,
        ):
            head = {
                "id": f"cmpl-{uuid.uuid4().hex}",
                "object": "text_completion",
                "created": int(time.time()),
                "model": request.model,
            }
            model = version.loaded.completion_model()
            completions = _Completions(request, model, self._config.timeout_seconds)
            before = await self._workers.run(completions.start)
            parts: dict[int, list[Part]] = {index: [part] for index, part in before.items()}
            if request.stream:
                for index, part in before.items():
                    if part.text or part.finish_reason:
                        yield {**head, "choices": [_choice(index, part)]}
            async for index, part in completions:
                parts[index].append(part)
                if request.stream:
                    yield {**head, "choices": [_choice(index, part)]}
            usage = completions.usage()
            if not request.stream:
                whole = [_choice(index, _whole(parts[index])) for index in parts]
                yield {**head, "choices": whole, "usage": usage}
            elif request.stream_options and request.stream_options.include_usage:
                yield {**head, "choices": [], "usage": usage}


class _Completions:
    """The completions of one request: an iterator of the indices of choices and their parts.

    Args:
        request: The request.
        model: The model.
        timeout_seconds: Seconds from one part to the next.
    """

    def __init__(
        self, request: CompletionRequest, model: CompletionModel, timeout_seconds: float
    ) -> None:
        self._request = request
        self._model = model
        self._vocabulary = model.vocabulary
        self._timeout_seconds = timeout_seconds
        self._prompt_ids: list[list[int]] = []
        self._num_new = 0

    def _ids(self, index: int, prompt: str | list[int]) -> list[int]:
        """Returns the checked tokens of a prompt."""
        if isinstance(prompt, str):
            if not prompt:
                raise invalid(f"prompt[{index}] is empty; give some text.")
            if "\0" in prompt:
                raise invalid(f"prompt[{index}] contains a NUL character.")
            if any("\ud800" <= character <= "\udfff" for character in prompt):
                raise invalid(f"prompt[{index}] is not Unicode text.")
            ids = self._vocabulary.encode(prompt)
        else:
            start, size = self._model.start_token_id, self._model.vocabulary_size
            if not prompt or not all(0 <= each < size for each in prompt):
                raise invalid(f"prompt[{index}] must have ids from 0 to {size - 1}.")
            ids = prompt if prompt[0] == start else [start, *prompt]
        new, limit = self._max_tokens(ids), self._model.max_length
        if len(ids) + new > limit or len(ids) > limit - 1:
            raise invalid(
                f"prompt[{index}] has {len(ids)} tokens and max_tokens is {new}, but together at "
                f"most {limit} have room."
            )
        return ids

    def _max_tokens(self, ids: list[int]) -> int:
        if self._request.max_tokens is None:
            return max(1, self._model.max_length - len(ids))
        return self._request.max_tokens

    def start(self) -> dict[int, Part]:
        """Reads the prompts; returns what the choices begin with, by their index."""
        request, parts = self._request, {}
        self._prompt_ids = [self._ids(i, prompt) for i, prompt in enumerate(request.prompts())]
        reason = "length" if request.max_tokens == 0 else None
        for i, ids in enumerate(self._prompt_ids):
            text = self._vocabulary.decode(ids) if request.echo else ""
            logprobs = None
            if request.logprobs is not None:
                logprobs = collect(self._score(ids) if request.echo else [])
            for j in range(request.n):
                parts[i * request.n + j] = Part(text, logprobs, reason)
        return parts

    def _score(self, ids: list[int]) -> list[dict[str, Any]]:
        """Returns the `logprobs` entries of a prompt's tokens."""
        inputs = {"token_ids": np.array([ids], "int32"), "lengths": np.array([len(ids)], "int32")}
        outputs = self._model.saved_model.predict("score_prompt", inputs)
        values, top_ids, top_values = (
            outputs[name].numpy()[0].tolist()
            for name in (
                "log_probabilities",
                "alternative_ids",
                "alternative_log_probabilities",
            )
        )
        entries = []
        count = self._request.logprobs or 0
        for i, token_id in enumerate(ids[1:]):
            top = list(zip(top_ids[i][:count], top_values[i][:count], strict=True))
            entry = logprobs_entry(self._vocabulary, token_id, values[i], top)
            offset = len(self._vocabulary.decode(ids[: i + 1]))
            entries.append({**entry, "text_offset": offset})
        return entries

    async def __aiter__(self) -> AsyncIterator[tuple[int, Part]]:
        """Yields the parts of the new tokens as they come."""
        request = self._request
        if request.max_tokens == 0:
            return
        queue: asyncio.Queue[tuple[int, Tokens | ServingError]] = asyncio.Queue()
        loop, rows = asyncio.get_running_loop(), {}
        seed = random.randrange(_MAX_SEED) if request.seed is None else request.seed
        choices = {}
        try:
            for i, ids in enumerate(self._prompt_ids):
                for j in range(request.n):
                    index = i * request.n + j
                    choices[index] = self._choice(ids)
                    rows[index] = self._row(index, ids, (seed + j) % _MAX_SEED, loop, queue)
                    self._model.batcher.submit(rows[index])
            while choices:
                index, tokens = await asyncio.wait_for(queue.get(), self._timeout_seconds)
                if isinstance(tokens, ServingError):
                    raise tokens
                if index not in choices:
                    continue  # It went on a little after a stop string.
                part = choices[index].add(tokens)
                self._num_new += len(tokens.token_ids)
                if part.finish_reason is not None:
                    rows[index].is_done = True
                    del choices[index]
                if part.text or part.finish_reason:
                    yield index, part
        except TimeoutError:
            message = f"No token came within {self._timeout_seconds:g} seconds."
            raise ServingError(Code.DEADLINE_EXCEEDED, message) from None
        finally:  # The client may be gone.
            for row in rows.values():
                row.is_done = True

    def _choice(self, ids: list[int]) -> Choice:
        request = self._request
        offset = len(self._vocabulary.decode(ids)) if request.echo else 0
        return Choice(self._vocabulary, ids, request.stops(), request.logprobs, offset)

    def _row(
        self,
        index: int,
        ids: list[int],
        seed: int,
        loop: asyncio.AbstractEventLoop,
        queue: asyncio.Queue,
    ) -> Row:
        request = self._request
        sampling = Sampling(
            request.temperature, request.top_k, request.top_p, request.repetition_penalty, seed
        )

        def deliver(tokens: Tokens | ServingError) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, (index, tokens))

        return Row(list(ids), self._max_tokens(ids), sampling, request.logprobs or 0, deliver)

    def usage(self) -> dict[str, int]:
        """Returns the numbers of tokens, without start tokens."""
        prompt = sum(len(ids) - 1 for ids in self._prompt_ids)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._num_new,
            "total_tokens": prompt + self._num_new,
        }


def _whole(parts: list[Part]) -> Part:
    """Returns successive parts as one."""
    told = [part.logprobs for part in parts if part.logprobs is not None]
    logprobs = {key: sum((each[key] for each in told), []) for key in told[0]} if told else None
    return Part("".join(part.text for part in parts), logprobs, parts[-1].finish_reason)


def _choice(index: int, part: Part) -> dict[str, Any]:
    return {
        "text": part.text,
        "index": index,
        "logprobs": part.logprobs,
        "finish_reason": part.finish_reason,
    }


def _error(error: ServingError) -> dict[str, Any]:
    is_clients = error.code.http_status < 500
    kind = "invalid_request_error" if is_clients else "server_error"
    return {
        "error": {"message": error.message, "type": kind, "param": None, "code": error.code.name}
    }


async def _server_sent(
    first: dict[str, Any], events: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[bytes]:
    """Yields events as server-sent events."""
    try:
        yield _event(first)
        async for event in events:
            yield _event(event)
    except Exception as error:  # The status is sent already.
        yield _event(_error(from_exception(error)))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
