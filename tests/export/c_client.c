// Runs a signature of a SavedModel through TensorFlow's C API alone, without Python.
//
// c_client FOLDER LIBRARY INPUT... -- OUTPUT...
//
// LIBRARY holds custom operations; "-" stands for none. An INPUT is OPERATION:INDEX, a type and its
// shape, as in "s3" for three strings or "i2,4" for integers, then its values, each an argument of
// its own. An OUTPUT is OPERATION:INDEX; its values are printed, one a line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

enum { MOST = 32 };

static TF_Status* status;

static void check(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: code %d: %s\n", what, TF_GetCode(status), TF_Message(status));
  exit(1);
}

static TF_Output find(TF_Graph* graph, const char* name) {
  char operation[256];
  const char* colon = strrchr(name, ':');
  snprintf(operation, sizeof operation, "%.*s", (int)(colon - name), name);
  TF_Output output = {TF_GraphOperationByName(graph, operation), atoi(colon + 1)};
  if (!output.oper) {
    fprintf(stderr, "no operation %s\n", operation);
    exit(1);
  }
  return output;
}

// Makes a tensor of the arguments after a type and shape, and moves on behind them.
static TF_Tensor* read_tensor(char*** argument) {
  char* type = *(*argument)++;
  int64_t dims[4], count = 1;
  int rank = 0;
  for (char* size = strtok(type + 1, ","); size; size = strtok(NULL, ",")) {
    dims[rank] = atoll(size);
    count *= dims[rank++];
  }
  TF_DataType dtype = *type == 's' ? TF_STRING : *type == 'f' ? TF_FLOAT : TF_INT32;
  TF_Tensor* tensor = TF_AllocateTensor(dtype, dims, rank, count * TF_DataTypeSize(dtype) +
                                        (dtype == TF_STRING ? count * sizeof(TF_TString) : 0));
  void* data = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    char* value = *(*argument)++;
    if (dtype == TF_STRING) {
      TF_TString* text = (TF_TString*)data + i;
      TF_TString_Init(text);
      TF_TString_Copy(text, value, strlen(value));
    } else if (dtype == TF_FLOAT) {
      ((float*)data)[i] = strtof(value, NULL);
    } else {
      ((int32_t*)data)[i] = atoi(value);
    }
  }
  return tensor;
}

static void print(const TF_Tensor* tensor) {
  int64_t count = TF_TensorElementCount(tensor);
  for (int64_t i = 0; i < count; i++) {
    const void* data = TF_TensorData(tensor);
    if (TF_TensorType(tensor) == TF_STRING) {
      const TF_TString* text = (const TF_TString*)data + i;
      fwrite(TF_TString_GetDataPointer(text), 1, TF_TString_GetSize(text), stdout);
      putchar('\n');
    } else {
      printf("%d\n", ((const int32_t*)data)[i]);
    }
  }
}

int main(int argc, char** argv) {
  status = TF_NewStatus();
  if (strcmp(argv[2], "-")) {
    TF_LoadLibrary(argv[2], status);
    check("library");
  }
  const char* tag = "serve";
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], &tag, 1, graph, NULL, status);
  check("load");

  TF_Output inputs[MOST], outputs[MOST];
  TF_Tensor *values[MOST], *results[MOST];
  int num_inputs = 0, num_outputs = 0;
  char** argument = argv + 3;
  while (strcmp(*argument, "--")) {
    inputs[num_inputs] = find(graph, *argument++);
    values[num_inputs++] = read_tensor(&argument);
  }
  while (*++argument) outputs[num_outputs++] = find(graph, *argument);

  TF_SessionRun(session, NULL, inputs, values, num_inputs, outputs, results, num_outputs, NULL, 0,
                NULL, status);
  check("run");
  for (int i = 0; i < num_outputs; i++) print(results[i]);
  return 0;
}
