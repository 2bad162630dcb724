"""What `/v1/completions` takes, as OpenAI defines it."""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from primer_tf.serving.status import invalid

MAX_ALTERNATIVES = 20
MAX_CHOICES = 128

Finite = Annotated[float, Field(allow_inf_nan=False)]
Zero = Annotated[float, Field(ge=0, le=0)]


class StreamOptions(BaseModel):
    """Options of streams: whether the last event has the numbers of tokens."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False


class CompletionRequest(BaseModel):
    """The body of a request. `top_k` and `repetition_penalty` are additions to OpenAI's API.

    Fields whose only value is their default are part of OpenAI's API but not supported.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str
    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(16, ge=0)
    temperature: Finite = Field(1.0, ge=0)
    top_p: Finite = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    repetition_penalty: Finite = Field(1.0, gt=0)
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(None, ge=0, le=MAX_ALTERNATIVES)
    echo: bool = False
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    user: str | None = None
    best_of: None = None
    suffix: None = None
    logit_bias: None = None
    presence_penalty: Zero = 0.0
    frequency_penalty: Zero = 0.0

    def prompts(self) -> list[str | list[int]]:
        """Returns the prompts as texts, or as lists of token ids."""
        is_one = isinstance(self.prompt, str) or any(isinstance(each, int) for each in self.prompt)
        return [self.prompt] if is_one else list(self.prompt)  # type: ignore[list-item, arg-type]

    def stops(self) -> list[str]:
        """Returns the strings that end a text."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


def read_request(body: bytes) -> CompletionRequest:
    """Returns the request in a body.

    Args:
        body: JSON in UTF-8.

    Raises:
        ServingError: The body is no JSON, or an argument is unknown, missing or wrong.
    """
    try:
        request = CompletionRequest.model_validate(json.loads(body.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise invalid(f"The body is not UTF-8: byte {error.start}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "The body"
        raise invalid(f"{where}: {first['msg']}.") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON: {error}.") from None
    if not request.prompts():
        raise invalid("prompt is empty; give some text.")
    if any(not stop for stop in request.stops()):
        raise invalid("stop has an empty string.")
    return request
