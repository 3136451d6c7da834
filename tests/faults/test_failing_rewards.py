"""A reward that fails in any way stops the run with an error that names it; the run then goes on to the same end."""

import asyncio
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kinds import of
from small import OPTIONS, done, left, made

from gaard.errors import RewardError
from gaard.rewards import RewardServer, honeypot, score
from gaard.rewards import server as server_module
from gaard.rewards.time_limit import time_limit
from gaard.training.checkpoint import newest_step
from gaard.training.detection import detected
from tiny import tiny_trainer

NEVER = threading.Event()


def raises(completions):
    raise ConnectionError("away")


def hangs(completions):
    NEVER.wait(3)
    return [0.0] * len(completions)


async def waits(completions):
    await asyncio.sleep(60)


async def holds_up(completions):
    time.sleep(2)


FAILURES = {
    "a reward raises": (raises, r"'eventful' raised ConnectionError: away"),
    "a reward returns NaN": (lambda texts: [float("nan")] * len(texts), "not a number; return a finite float"),
    "a reward returns inf": (lambda texts: [float("inf")] * len(texts), "not finite in float32"),
    "a reward returns strings": (lambda texts: ["good"] * len(texts), "a str, not a number"),
    "a reward returns too few": (lambda texts: [1.0] * (len(texts) - 1), "returned 3 values for 4 completions"),
    "a reward returns too many": (lambda texts: [1.0] * (len(texts) + 1), "returned 5 values for 4 completions"),
    "a reward returns one number": (lambda texts: 1.0, "return a list with one number a completion"),
    "a reward runs out of memory": (lambda texts: bytearray(2**62), "make the batch smaller if it ran out of memory"),
    "a reward hangs": (hangs, r"'eventful' gave no answer within 0.3 s for 4 completions.*reward_timeout"),
    "an asynchronous reward hangs": (waits, r"'eventful' gave no answer within 0.3 s"),
    "an asynchronous reward holds up its loop": (holds_up, r"'eventful' gave no answer within 0.3 s"),
}


@pytest.mark.parametrize("kind", of("faults/test_failing_rewards.py::test_a_failure_is_named_and_costs_nothing"))
def test_a_failure_is_named_and_costs_nothing(kind, tmp_path, undisturbed):
    failure, words = FAILURES[kind]
    trainer = made(tmp_path, 3, failure, reward_timeout=0.3 if "within" in words else None)
    with pytest.raises(RewardError, match=words):
        trainer.train()
    assert newest_step(tmp_path / "checkpoints") == 2
    assert done(tmp_path) == undisturbed


def test_a_reward_that_ends_the_process_ends_it_and_costs_nothing(tmp_path, undisturbed):
    with pytest.raises(SystemExit) as ended:
        made(tmp_path, 3, lambda texts: sys.exit(5)).train()
    assert ended.value.code == 5
    assert done(tmp_path) == undisturbed


def test_a_limit_that_is_kept_changes_no_result(tmp_path, undisturbed):
    assert done(tmp_path, reward_timeout=60) == undisturbed


def test_a_reward_inside_another_is_named(tmp_path):
    batch = {"prompts": ["p"], "completions": ["c"], "completion_ids": [[1]], "columns": {}}
    with time_limit(0.1), pytest.raises(RewardError, match=r"'hanging' gave no answer within 0.1 s for 1 completions"):
        score(honeypot(hanging, word="bait"), **batch)
    assert score(honeypot(hanging_briefly, word="bait"), **batch).tolist() == [0.5]


def hanging(completions, **_):
    NEVER.wait(2)
    return [1.0] * len(completions)


def hanging_briefly(completions, **_):
    time.sleep(0.05)
    return [1.0] * len(completions)


def test_a_detector_that_hangs_is_named():
    def detector(completions):
        NEVER.wait(2)
        return [False]

    with time_limit(0.1), pytest.raises(RewardError, match=r"hack_detector gave no answer within 0.1 s"):
        detected(detector, "hack_detector", ["text"])


class Lengths(BaseHTTPRequestHandler):
    """Pays for characters, as often as its server is there."""

    def do_POST(self):
        import json

        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["completions"]
        content = json.dumps({"rewards": [float(len(text)) for text in texts]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.left -= 1
        if not self.server.left:
            self.close_connection = True
            threading.Thread(target=lambda: (self.server.shutdown(), self.server.server_close())).start()

    def log_message(self, *_):
        pass


def serve(port=0, answers=10**9):
    server = ThreadingHTTPServer(("127.0.0.1", port), Lengths)
    server.left, server.daemon_threads = answers, True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def test_a_server_that_dies_stops_the_run_and_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "pause", lambda seconds: time.sleep(0.05))
    server = serve(answers=4)  # dies in the midst of the run
    port = server.server_port

    def trainer(folder):
        return tiny_trainer(folder, reward=RewardServer(f"http://127.0.0.1:{port}", retries=1), **OPTIONS)

    one = trainer(tmp_path / "one")
    with pytest.warns(UserWarning, match="trying again"), pytest.raises(RewardError, match=r"tried 2 times: see that"):
        one.train()
    again = serve(port)
    try:
        found = []
        for name in ("one", "other"):
            runner = trainer(tmp_path / name)
            runner.train()
            runner.evaluated()
            found.append(left(tmp_path / name, runner))
        assert found[0] == found[1]
    finally:
        again.shutdown()
        again.server_close()
