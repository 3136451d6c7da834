"""A reward server: `python examples/reward_server.py 8000`, and elsewhere `--reward_funcs http://localhost:8000/score`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Scores(BaseHTTPRequestHandler):
    """Pays for different words: one number for each completion, in their order."""

    def do_POST(self):
        """One batch: {"prompts": [...], "completions": [...], "columns": {...}} → {"rewards": [...]}."""
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rewards = [len(set(text.split())) / 10 for text in batch["completions"]]
        answer = json.dumps({"rewards": rewards}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Scores).serve_forever()
