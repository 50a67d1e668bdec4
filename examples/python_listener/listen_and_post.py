import requests
import json
import time

# Send test events
def send_test_event():
    response = requests.post('http://localhost:5000/api/agent/data', 
        json={
            "type": "test_transcript",
            "text": "This is a test message",
            "timestamp": time.time()
        })
    print(f"Sent event, notified {response.json()['clients_notified']} clients")

# Listen to stream
def listen_to_stream():
    response = requests.get('http://localhost:5000/api/stream', stream=True)
    for line in response.iter_lines():
        if line.startswith(b'data: '):
            data = json.loads(line[6:])  # Remove 'data: ' prefix
            print(f"Received: {data}")

# Run listener in separate thread
import threading
threading.Thread(target=listen_to_stream, daemon=True).start()

# Send some test events
for i in range(5):
    send_test_event()
    time.sleep(2)
