// Node's own fetch, no library: prints the data of each frame until the event of type "end".
const response = await fetch(process.argv[2]);
let rest = "";
const decoder = new TextDecoder();
for await (const chunk of response.body) {
  rest += decoder.decode(chunk, { stream: true });
  const frames = rest.split("\n\n");
  rest = frames.pop();
  for (const frame of frames) {
    const data = frame.split("\n").find((line) => line.startsWith("data: ")).slice(6);
    console.log(data);
    if (JSON.parse(data).type === "end") process.exit(0);
  }
}
