// Chats with the gateway: node chat.mjs "What is the weather in San Francisco?" [ws://localhost:8765/chat]
// Needs nothing but Node 22 or later, which has WebSocket.

const [question = "What is the weather in San Francisco?", address = "ws://localhost:8765/chat"] = process.argv.slice(2);

const socket = new WebSocket(address);
socket.onopen = () => socket.send(JSON.stringify({ message: question }));
socket.onerror = () => {
  console.error(`No gateway answers at ${address}: start it with "make gateway".`);
  process.exitCode = 1;
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.type === "delta") process.stdout.write(frame.delta);
  if (frame.type === "error") console.error(frame.message);
  if (frame.type === "result") { // the turn is over, tool calls included
    process.stdout.write("\n");
    socket.close();
  }
};
