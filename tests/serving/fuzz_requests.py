"""Requests of every kind, drawn by hypothesis, and which answers are right for them.

A case has a `kind`, by which it is counted, and `must_succeed`, which says whether an error means
that a request was lost. `request` makes the request, and `problem` returns what is wrong with an
answer, or `None`. Both are given the newest version that is known when the request is sent.
"""

import base64
import dataclasses
import json
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from tests.serving.fuzz_versions import FIRST

OK = (200, "OK")
PREDICTION_SERVICE = "/tensorflow.serving.PredictionService/"
MODEL_SERVICE = "/tensorflow.serving.ModelService/"
TOO_LARGE = 16 << 20


@dataclasses.dataclass(frozen=True)
class Http:
    """A request over REST."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"

    def encode(self):
        """Returns the request as bytes."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n"
        head += f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Bytes for a bare socket, with a pause between two of them.

    Args:
        pieces: What is sent.
        ends: What the client does then: it `"waits"` for the answer, `"listens"` after it has
            closed its own side, `"leaves"`, or `"resets"` the connection.
    """

    pieces: tuple[bytes, ...]
    ends: str = "waits"


@dataclasses.dataclass(frozen=True)
class Grpc:
    """A serialized message over gRPC."""

    method: str
    message: bytes
    timeout_seconds: float = 30


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer of any kind.

    Args:
        status: HTTP's number, the name of gRPC's code, or why there is no answer.
        value: JSON's value, gRPC's bytes, or the message of an error over gRPC.
    """

    status: int | str
    value: Any = None


# TensorFlow's kernels flush subnormal numbers to zero.
FLOATS = st.floats(width=32, allow_subnormal=False)
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.binary(max_size=6)
FEW_ROWS = st.lists(st.tuples(FLOATS, STRINGS), max_size=4)
# They keep a version in use for so long that it is likely to be replaced meanwhile.
MANY_ROWS = st.tuples(FLOATS, STRINGS).map(lambda row: [row] * 30_000)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A valid prediction whose answer tells the version.

    Args:
        rows: The values `x` and `s`.
        numbered: Whether to ask the signature `numbered`, or else the default one, for `x` alone.
        form: `"instances"`, `"inputs"` or `"grpc"`.
        asked: The version: `"newest"`, `"stable"` (the label), `"first"`, or what to add to the
            number of the newest one.
        content_type: What a REST client calls the body.
        pieces: How many pieces a REST client cuts the request into.
    """

    rows: list[tuple[float, str | bytes]]
    numbered: bool
    form: str
    asked: str | int
    content_type: str
    pieces: int

    @property
    def kind(self):
        way = "gRPC" if self.form == "grpc" else "REST" if self.pieces == 1 else "slow REST"
        return f"{way} predict {self.asked if isinstance(self.asked, str) else 'number'}"

    @property
    def must_succeed(self):
        return isinstance(self.asked, str)

    def number(self, newest):
        """Returns the number that is sent, or `None`."""
        if isinstance(self.asked, int):
            return newest + self.asked
        return FIRST if self.asked == "first" else None

    def request(self, newest):
        number = self.number(newest)
        if self.form == "grpc":
            return Grpc(PREDICTION_SERVICE + "Predict", self.message(number).SerializeToString())
        place = "" if number is None else f"/versions/{number}"
        place = "/labels/stable" if self.asked == "stable" else place
        body = json.dumps(self.body()).encode()
        request = Http("POST", f"/v1/models/toy{place}:predict", body, self.content_type)
        if self.pieces == 1:
            return request
        content = request.encode()
        size = -(-len(content) // self.pieces)
        return Pieces(tuple(content[i : i + size] for i in range(0, len(content), size)))

    def body(self):
        if not self.numbered:
            return {self.form: [x for x, _ in self.rows]}
        rows = [{"x": x, "s": s if isinstance(s, str) else _to_base64(s)} for x, s in self.rows]
        columns = {name: [row[name] for row in rows] for name in ("x", "s")}
        values = rows if self.form == "instances" else columns
        return {"signature_name": "numbered", self.form: values}

    def message(self, number=None):
        message = predict_pb2.PredictRequest()
        message.model_spec.name = "toy"
        if number is not None:
            message.model_spec.version.value = number
        elif self.asked == "stable":
            message.model_spec.version_label = "stable"
        message.inputs["x"].CopyFrom(tf.make_tensor_proto(self.x))
        if self.numbered:
            message.model_spec.signature_name = "numbered"
            message.inputs["s"].CopyFrom(tf.make_tensor_proto(self.strings, tf.string))
        return message

    @property
    def x(self):
        return np.array([x for x, _ in self.rows], np.float32)

    @property
    def strings(self):
        return [s.encode() if isinstance(s, str) else s for _, s in self.rows]

    def problem(self, newest, answer, versions, since):
        number = self.number(newest)
        if answer.status in (404, "NOT_FOUND") and not self.must_succeed:
            return "the version was there" if versions.must_answer(number, since) else None
        if answer.status not in OK:
            return "a valid request failed"
        allowed = versions.allowed(since) if self.asked == "newest" else [number or FIRST]
        outputs, told = self.outputs(answer.value)
        if any(told in (None, n) and self.fits(outputs, n) for n in allowed):
            return None
        return f"no answer of a version of {allowed}"

    def outputs(self, value):
        """Returns the outputs by name, and the version if the protocol tells it."""
        if self.form == "grpc":
            message = predict_pb2.PredictResponse.FromString(value)
            outputs = {name: tf.make_ndarray(proto) for name, proto in message.outputs.items()}
            return outputs, message.model_spec.version.value
        outputs = value["predictions" if self.form == "instances" else "outputs"]
        if not self.numbered:
            return {"y": outputs}, None
        if self.form == "instances":
            outputs = {name: [row[name] for row in outputs] for name in outputs[0]}
        strings = [base64.b64decode(s["b64"]) for s in outputs["same_bytes"]]
        return {**outputs, "same_bytes": strings}, None

    def fits(self, outputs, number):
        """Returns whether a version gives these outputs."""
        with np.errstate(over="ignore", invalid="ignore"):
            expected = {"y": np.float32(number) * self.x}
        if self.numbered:
            expected["version"] = np.full(len(self.rows), number)
            expected["same_bytes"] = np.array(self.strings, object)
        return outputs.keys() == expected.keys() and all(
            np.array_equal(np.array(outputs[k], v.dtype), v, equal_nan=k == "y")
            for k, v in expected.items()
        )


def _to_base64(value):
    return {"b64": base64.b64encode(value).decode("ascii")}


@st.composite
def predictions(draw, rows=FEW_ROWS, grpc=True, pieces=1):
    rows = draw(rows)
    forms = ["inputs"] + ["grpc"] * grpc + ["instances"] * bool(rows)  # No rows are refused.
    asked = draw(st.sampled_from(("newest", "newest", "stable", "first", -1, 0, 0, 1)))
    content_type = draw(st.sampled_from(("application/json", "text/plain", "image/png", "?")))
    return Prediction(
        rows, draw(st.booleans()), draw(st.sampled_from(forms)), asked, content_type, pieces
    )


@dataclasses.dataclass(frozen=True)
class Look:
    """A question for the status or the metadata; its answer names versions."""

    kind: str
    what: Http | Grpc
    must_succeed: ClassVar[bool] = True

    def request(self, newest):
        return self.what

    def problem(self, newest, answer, versions, since):
        if answer.status not in OK:
            return "a valid request failed"
        shown = set(self.versions(answer.value))
        allowed = versions.allowed(since)
        if shown <= versions.written() and shown and max(shown) in allowed:
            return None
        return f"shows the versions {shown}, but {allowed} may be the newest one"

    def versions(self, value):
        """Returns the versions that are available."""
        if isinstance(self.what, Grpc):
            if "Status" in self.what.method:
                message = get_model_status_pb2.GetModelStatusResponse.FromString(value)
                return [v.version for v in message.model_version_status if v.state == 30]
            message = get_model_metadata_pb2.GetModelMetadataResponse.FromString(value)
            return [message.model_spec.version.value]
        if "metadata" in value:
            return [int(value["model_spec"]["version"])]
        found = value["model_version_status"]
        return [int(v["version"]) for v in found if v["state"] == "AVAILABLE"]


def _looks():
    status = get_model_status_pb2.GetModelStatusRequest()
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    status.model_spec.name = metadata.model_spec.name = "toy"
    return [
        Look("REST status", Http("GET", "/v1/models/toy")),
        Look("REST metadata", Http("GET", "/v1/models/toy/metadata")),
        Look("gRPC status", Grpc(MODEL_SERVICE + "GetModelStatus", status.SerializeToString())),
        Look(
            "gRPC metadata",
            Grpc(PREDICTION_SERVICE + "GetModelMetadata", metadata.SerializeToString()),
        ),
    ]


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A request that is wrong, or may be.

    Args:
        kind: What it is counted as.
        what: The request.
        statuses: The statuses of right answers.
    """

    kind: str
    what: Http | Pieces | Grpc
    statuses: tuple[int | str, ...]
    must_succeed: ClassVar[bool] = False

    def request(self, newest):
        return self.what

    def problem(self, newest, answer, versions, since):
        if answer.status not in self.statuses:
            return f"the status is none of {self.statuses}"
        if isinstance(answer.status, int) and answer.status >= 400:
            value = answer.value
            if not (isinstance(value, dict) and list(value) == ["error"] and value["error"]):
                return "an error must be {'error': message}"
        return None


def hostile(kind, requests, *statuses):
    return st.builds(Hostile, st.just(kind), requests, st.just(statuses))


PREDICT = st.just("/v1/models/toy:predict")


def posts(bodies, paths=PREDICT):
    return st.builds(Http, st.just("POST"), paths, bodies)


@st.composite
def mutated(draw, contents):
    """Bytes of which a part is replaced, dropped or cut off."""
    content = draw(contents)
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(start + 9, len(content))) | st.just(len(content)))
    return content[:start] + draw(st.binary(max_size=6)) + content[end:]


NUMBERS = st.sampled_from((1e39, 10**39, 10**400, -(2**31) - 1, 2**63, 2**64, 1e-46))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("x", "s", "ids", "b64", "offset")), inner, max_size=3)
    ),
    max_leaves=8,
)
SIGNATURES = st.sampled_from(("", "serving_default", "line", "text", "total", "numbered"))
BODIES = predictions(grpc=False).map(lambda prediction: json.dumps(prediction.body()).encode())
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": SIGNATURES | st.text(max_size=3) | VALUES,
        "instances": VALUES,
        "inputs": VALUES,
    },
).map(lambda value: json.dumps(value).encode())
DEPTHS = st.integers(1, 100) | st.sampled_from((500, 990, 5000, 200_000))
NESTED = st.builds(
    lambda depth, end, closed: b'{"inputs": ' + b"[" * depth + end + (b"]" * depth + b"}") * closed,
    DEPTHS,
    st.sampled_from((b"1", b"", b'"x"', b"{}", b"]", b'{"x":')),
    st.booleans(),
)

NAMES = st.sampled_from(("toy", "TOY", "none", "", "toy\n", "..", "\0", "\u00fc", "x" * 300))
PLACES = st.sampled_from(
    (
        *("", "/versions/999999", "/versions/0", "/versions/-1", "/versions/x", "/versions/"),
        *(f"/versions/{2**63}", f"/versions/{'9' * 5000}", "/versions/\u0663", "/labels/none"),
        *("/labels/", "/labels/gone", "/labels/\U0001f600", "/versions/1/labels/stable"),
    )
)
PATHS = st.builds(
    lambda *parts: quote("".join(parts)),
    st.sampled_from(("/v1/models/", "/V1/Models/", "/v1/", "/", "/v1/models", "//v1/models/")),
    NAMES,
    PLACES,
    st.sampled_from((":predict", ":classify", ":regress", ":Predict", "/metadata", ":x", "/", "")),
)
OTHER_PATHS = st.sampled_from(
    ("/", "/v1", "/healthz/", "/metrics/", "/docs", "/openapi.json", "/v1/models/toy?x=1&%00", "/%")
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "FOO")
UNKNOWN = st.sampled_from(
    (
        *("/v1/models/none:predict", "/v1/models/toy/versions/999999:predict"),
        *("/v1/models/toy/labels/none:predict", "/v1/models/toy/labels/gone:predict"),
    )
)

HEAD = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
MALFORMED = st.sampled_from(
    (
        *(b"\r\nGET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"),
        *(b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        *(HEAD + b"Content-Length: -1\r\n\r\n", HEAD + b": x\r\n\r\n", HEAD + b" x\r\n\r\n"),
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        *(HEAD + b"a\0b: c\r\n\r\n", HEAD + b"a: b\0c\r\n\r\n", HEAD + b"x: " + b"y" * 20_000),
        *(HEAD + b"Transfer-Encoding: gzip\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\r\n\r\n" * 9),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nz\r\n",
    )
)
ODD = st.sampled_from(
    (
        *(b"GET * HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n", b"CONNECT x:1 HTTP/1.1\r\n"),
        b"PRI * HTTP/2.0\r\n",
        *(b"GET http://x/v1/models/toy HTTP/1.1\r\n", b"GET v1/models/toy HTTP/1.1\r\n"),
        *(b"GET /%00%0a%ff%2f.. HTTP/1.1\r\n", b"GET /v1/models/toy?%ff HTTP/1.1\r\n"),
        b"GET /v1/models/toy HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        b"GET /v1/models/toy HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
    )
)
HOSTS = st.sampled_from((b"x", b"[", b"x/healthz?", b"\xff", b"", b"x:99999", b"a@b", b"x#"))
ODD_HEADS = st.builds(
    lambda first, host: Pieces((first + b"Host: " + host + b"\r\nConnection: close\r\n\r\n",)),
    ODD,
    HOSTS,
)
REQUESTS = posts(BODIES).map(Http.encode)
GARBAGE = st.builds(
    lambda content: Pieces((content,), "listens"), mutated(REQUESTS) | st.binary(max_size=99)
)
VANISHING = st.builds(
    lambda content, part, ends: Pieces((content[: int(part * len(content))],), ends),
    REQUESTS,
    st.floats(0, 1),
    st.sampled_from(("leaves", "resets")),
)

TENSORS = st.builds(
    tensor_pb2.TensorProto,
    dtype=st.sampled_from((*range(26), 101, 107, 12345)),
    tensor_shape=st.builds(
        lambda sizes, unknown: {"dim": [{"size": n} for n in sizes], "unknown_rank": unknown},
        st.lists(st.integers(-1, 3) | st.sampled_from((1 << 40, 1 << 62)), max_size=3)
        | st.just([1] * 300),
        st.sampled_from((False, False, False, True)),
    ),
    tensor_content=st.just(b"") | st.binary(max_size=16),
    float_val=st.lists(FLOATS, max_size=3),
    double_val=st.lists(st.floats(), max_size=3),
    int_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    string_val=st.lists(st.binary(max_size=3), max_size=3),
    bool_val=st.lists(st.booleans(), max_size=3),
    half_val=st.lists(st.integers(0, 70_000), max_size=3),
)


@st.composite
def odd_tensors(draw):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "toy"
    message.model_spec.signature_name = draw(SIGNATURES)
    for name in draw(st.sets(st.sampled_from(("x", "s", "ids", "offset", "\u00fc")))):
        message.inputs[name].CopyFrom(draw(TENSORS))
    message.output_filter.extend(draw(st.lists(st.sampled_from(("y", "x", "none")), max_size=2)))
    return Grpc(PREDICTION_SERVICE + "Predict", message.SerializeToString())


@st.composite
def unknown_specs(draw):
    message = predict_pb2.PredictRequest()
    long = st.sampled_from(("\U0001f600" * 2000, "\n", "a\0b", "%", "none"))
    match draw(st.sampled_from(("name", "signature", "version", "label"))):
        case "name":
            message.model_spec.name = draw(long | st.text(max_size=9))
        case "signature":
            message.model_spec.name, message.model_spec.signature_name = "toy", draw(long)
        case "version":
            message.model_spec.name = "toy"
            message.model_spec.version.value = draw(st.sampled_from((-1, 0, 10**6, 2**63 - 1)))
        case "label":
            message.model_spec.name, message.model_spec.version_label = "toy", draw(long)
    method = draw(st.sampled_from(("Predict", "Classify", "Regress", "GetModelMetadata")))
    return Grpc(PREDICTION_SERVICE + method, message.SerializeToString())


MESSAGES = predictions().map(lambda prediction: prediction.message().SerializeToString())
GRPC_METHODS = st.sampled_from(
    [PREDICTION_SERVICE + m for m in ("Predict", "Classify", "Regress", "GetModelMetadata")]
    + [MODEL_SERVICE + "GetModelStatus"]
)
REFUSED = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
ALL_HTTP = (200, 400, 404, 405)

# How often each is drawn, of a thousand.
_WEIGHTED = [
    (300, predictions()),
    (20, predictions(MANY_ROWS, grpc=False)),
    (15, predictions(grpc=False, pieces=3)),
    (100, st.sampled_from(_looks())),
    (60, hostile("REST mutated body", posts(mutated(BODIES) | st.binary(max_size=20)), 200, 400)),
    (90, hostile("REST wrong values", posts(OBJECTS), 200, 400)),
    (40, hostile("REST nested body", posts(NESTED), 200, 400)),
    (40, hostile("REST unknown names", posts(st.just(b'{"instances": [1]}'), UNKNOWN), 400, 404)),
    (
        80,
        hostile(
            "REST paths and methods",
            st.builds(Http, st.sampled_from(METHODS), PATHS | OTHER_PATHS),
            *ALL_HTTP,
        ),
    ),
    (4, hostile("REST too large", posts(st.just(b" " * (TOO_LARGE + 1))), 429)),
    (20, hostile("HTTP malformed", MALFORMED.map(lambda content: Pieces((content,))), 400)),
    (20, hostile("HTTP odd heads", ODD_HEADS, *ALL_HTTP)),
    (20, hostile("HTTP garbage", GARBAGE, "no answer", *ALL_HTTP)),
    (20, hostile("HTTP vanishing", VANISHING, "left")),
    (80, hostile("gRPC tensors", odd_tensors(), "OK", *REFUSED)),
    (40, hostile("gRPC unknown names", unknown_specs(), *REFUSED)),
    (
        50,
        hostile(
            "gRPC bytes",
            st.builds(Grpc, GRPC_METHODS, mutated(MESSAGES) | st.binary(max_size=40)),
            "OK",
            "no message",
            *REFUSED,
        ),
    ),
    (
        4,
        hostile(
            "gRPC unknown methods",
            st.builds(Grpc, st.sampled_from(("/x/y", PREDICTION_SERVICE + "x")), st.just(b"")),
            "UNIMPLEMENTED",
        ),
    ),
    (
        1,
        hostile(
            "gRPC too large",
            st.just(Grpc(PREDICTION_SERVICE + "Predict", b" " * (TOO_LARGE + 1))),
            "RESOURCE_EXHAUSTED",
        ),
    ),
    (
        10,
        hostile(
            "gRPC vanishing",
            st.builds(
                Grpc,
                st.just(PREDICTION_SERVICE + "Predict"),
                MESSAGES,
                st.sampled_from((1e-4, 1e-3, 3e-3)),
            ),
            "OK",
            "DEADLINE_EXCEEDED",
        ),
    ),
]
CASES = st.sampled_from([s for weight, s in _WEIGHTED for _ in range(weight)]).flatmap(lambda s: s)
