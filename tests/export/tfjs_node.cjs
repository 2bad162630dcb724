// Runs a signature of a SavedModel in Node with TensorFlow.js: node tfjs_node.cjs FOLDER SIGNATURE
// Standard input has the inputs as a JSON object, standard output gets the outputs as one.
const fs = require("fs");
const tf = require("@tensorflow/tfjs-node");

async function main([folder, signature]) {
  const [graph] = await tf.node.getMetaGraphsFromSavedModel(folder);
  const types = graph.signatureDefs[signature].inputs;
  const inputs = {};
  for (const [name, value] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
    inputs[name] = tf.tensor(value, undefined, types[name].dtype);
  }
  const model = await tf.node.loadSavedModel(folder, ["serve"], signature);
  const outputs = {};
  for (const [name, tensor] of Object.entries(model.predict(inputs))) {
    outputs[name] = tensor.arraySync();
  }
  fs.writeFileSync(1, JSON.stringify(outputs));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
