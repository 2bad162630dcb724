"""Completes a prompt over gRPC: `python complete.py PROMPT [HOST:PORT]`.

Needs the packages `grpcio`, `tensorflow` and `tensorflow-serving-api`.
"""

import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

prompt, address = sys.argv[1], (sys.argv[2:] or ["localhost:8500"])[0]
request = predict_pb2.PredictRequest()
request.model_spec.name, request.model_spec.signature_name = "primer", "generate"
# Whatever else the signature takes has a default: temperature 0, which is greedy.
request.inputs["prompts"].CopyFrom(tf.make_tensor_proto([prompt]))
channel = grpc.insecure_channel(address)
answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
print(answer.outputs["texts"].string_val[0].decode("utf-8"))
