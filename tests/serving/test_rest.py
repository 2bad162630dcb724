"""REST answers as TensorFlow Serving's documentation and tests say."""

import base64
import json
import math

import pytest


def predict(server, body, path="/v1/models/toy:predict"):
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return server.http.post(path, content=content)


def test_row_and_column_format(server):
    assert predict(server, {"instances": [1.0, 2]}).json() == {"predictions": [3.0, 6.0]}
    assert predict(server, {"inputs": [1.0, 2]}).json() == {"outputs": [3.0, 6.0]}
    assert predict(server, {"inputs": {"x": [1.0]}}).json() == {"outputs": [3.0]}
    rows = {"signature_name": "line", "instances": [{"x": 1, "offset": 0}, {"x": 2, "offset": 1}]}
    assert predict(server, rows).json() == {"predictions": [{"x": 1, "y": 3}, {"x": 2, "y": 7}]}
    columns = {"signature_name": "line", "inputs": {"x": [1, 2], "offset": [0, 1]}}
    assert predict(server, columns).json() == {"outputs": {"x": [1, 2], "y": [3, 7]}}


def test_numbers_have_the_digits_of_their_type(server):
    body = '{"signature_name": "line", "inputs": {"x": [0.2, NaN, -Infinity], "offset": [0]}}'
    answer = predict(server, body)
    assert '"x": [0.2, NaN, -Infinity]' in answer.text
    x = answer.json()["outputs"]["x"]
    assert x[0] == 0.2 and math.isnan(x[1]) and x[2] == -math.inf


def test_strings_and_bytes(server):
    encoded = base64.b64encode(b"\x00\xff").decode()
    body = {"signature_name": "text", "instances": ["äb", {"b64": encoded}]}
    first, second = predict(server, body).json()["predictions"]
    assert first == {"same_bytes": {"b64": base64.b64encode("äb".encode()).decode()}, "upper": "äB"}
    assert second["same_bytes"] == {"b64": encoded}


def test_versions(server):
    for path, expected in (("versions/2", 2), ("versions/3", 3), ("VERSIONS/2", 2)):
        answer = predict(server, {"instances": [1]}, f"/v1/models/toy/{path}:predict")
        assert answer.json() == {"predictions": [expected]}
    status = server.http.get("/v1/models/toy").json()["model_version_status"]
    fine = {"error_code": "OK", "error_message": ""}
    expected = [{"version": v, "state": "AVAILABLE", "status": fine} for v in ("3", "2")]
    assert status == expected
    assert server.http.get("/v1/models/toy/versions/2").json() == {
        "model_version_status": expected[1:]
    }


def test_metadata(server):
    answer = server.http.get("/v1/models/toy/metadata").json()
    assert answer["model_spec"] == {"name": "toy", "signature_name": "", "version": "3"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["total"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    info = signature["inputs"]["ids"]
    assert info["dtype"] == "DT_INT32"
    assert [dim["size"] for dim in info["tensor_shape"]["dim"]] == ["-1", "2"]


TOTAL = '{"signature_name": "total", "inputs": %s}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The document is empty"),
        ("instances = [1]", "JSON Parse error"),
        ("[1]", "Is not object"),
        ("[" * 100_000, "JSON Parse error"),
        ('{"instances": ' + "[" * 65 + "1" + "]" * 65 + "}", "nested 65 deep"),
        ('{"instances": [' + "9" * 5000 + "]}", "JSON Parse error"),
        (b'{"signature_name": "text", "instances": ["\xff"]}', "invalid UTF-8"),
        ('{"signature_name": "text", "instances": ["\\ud800"]}', "lone surrogate"),
        ('{"signature_name": "text", "instances": [{"b64": "*"}]}', "base64"),
        ('{"signature_name": 100, "instances": [1]}', "must be a string"),
        ('{"signature_name": "none", "instances": [1]}', "not found in signature def"),
        ("{}", "Missing 'inputs' or 'instances'"),
        ('{"instances": [1], "inputs": [1]}', "only one of"),
        ('{"instances": []}', "No values"),
        ('{"instances": 1}', "list/array"),
        ('{"instances": ["x"]}', "not of expected type: float"),
        ('{"instances": [true]}', "not of expected type: float"),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object"),
        ('{"instances": [{"z": 1}]}', "keys must be equal to: x"),
        ('{"signature_name": "line", "inputs": {"x": [1]}}', "Missing named input: offset"),
        (TOTAL % "[[1, 2], [3]]", "unexpected size: 1"),
        (TOTAL % "[[1, 2], 3]", "incorrect level"),
        (TOTAL % "[[1, 2.5]]", "not of expected type: int32"),
        (TOTAL % "[[1, 2147483648]]", "not of expected type: int32"),
        (TOTAL % "[1, 2]", "must have shape"),
        (TOTAL % "[[1, 2, 3]]", "must have shape"),
        (TOTAL % "[[1, -2]]", "ids[:, :] must not be negative"),
    ],
)
def test_bad_bodies(server, body, message):
    answer = predict(server, body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"} and message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/none:predict", 404, "Servable not found"),
        ("POST", "/v1/models/toy/versions/9:predict", 404, "Servable not found"),
        (
            "POST",
            "/v1/models/toy/labels/stable:predict",
            400,
            "Unrecognized servable version label",
        ),
        ("POST", f"/v1/models/toy/versions/{2**64}:predict", 400, "Failed to convert version"),
        ("POST", "/v1/models/toy", 400, "Malformed request"),
        ("POST", "/v1/models/toy/version/1:predict", 400, "Malformed request"),
        ("POST", "/v1/models/toy:classify", 400, "Expected classify signature"),
        ("POST", "/v1/models/toy:regress", 400, "Expected regress signature"),
        ("GET", "/v1/foo", 400, "Malformed request"),
        ("GET", "/v1/models/toy:predict", 400, "Malformed request"),
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", "/v1/models/toy/versions/9", 404, "Could not find version 9"),
        ("GET", "/v1/models/none/metadata", 404, "Servable not found"),
        ("PUT", "/v1/models/toy:predict", 405, "Method Not Allowed"),
        ("POST", "/healthz", 405, "Method Not Allowed"),
        ("GET", "/healthz/", 404, "Not Found"),
        ("GET", "/index.html", 404, "Not Found"),
        ("POST", "/", 405, "Method Not Allowed"),
    ],
)
def test_bad_paths(server, method, path, status, message):
    answer = server.http.request(method, path, content='{"instances": [1]}')
    assert (answer.status_code, message in answer.json()["error"]) == (status, True)


def test_health_and_metrics(server):
    assert server.http.get("/healthz").status_code == 200
    predict(server, {"instances": [1.0]})
    text = server.http.get("/metrics").text
    assert 'primer_serve_requests_total{api="predict",code="OK",model="toy"}' in text
    assert 'model="none"' not in text
