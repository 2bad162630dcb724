// Completes a prompt over REST: node complete.mjs PROMPT [HOST:PORT]
// REST needs every input of a signature; those of `generate` take one value for each row.
const [prompt, address = "localhost:8501"] = process.argv.slice(2);
const answer = await fetch(`http://${address}/v1/models/primer:predict`, {
  method: "POST",
  body: JSON.stringify({
    signature_name: "generate",
    instances: [
      {
        prompts: prompt,
        max_new_tokens: -1, // as many as there is room for
        temperature: 0,
        top_k: 0,
        top_p: 1,
        repetition_penalty: 1,
        seed: 0,
        stop: [""],
      },
    ],
  }),
});
const content = await answer.json();
if (!answer.ok) throw new Error(content.error);
console.log(content.predictions[0].texts);
