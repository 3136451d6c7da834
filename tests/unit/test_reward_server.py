"""A reward on an HTTP server: what is sent, tried again and refused, and that its secret is told nobody."""

import json
import logging
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gaard import cli
from gaard.code_identity import identity_of
from gaard.errors import ConfigError, GaardWarning, RewardError
from gaard.rewards import RewardServer, honeypot, reward_from_name, score
from gaard.rewards import server as module
from pages import ROOT
from tiny import tiny_trainer

PROMPTS, COMPLETIONS, IDS = ["p", "q"], ["one two", "three"], [[1], [2]]
SECRET = "s3cret-of-the-server"


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `answers` say, one after the other, the last for ever; keeps what it was asked."""

    def do_POST(self):
        self.server.asked.append(
            (self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        )
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            return answer(self)
        return reply(self, *answer)

    def log_message(self, *_):
        pass


def reply(handler, status, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def paid(*rewards):
    return 200, {"rewards": list(rewards)}


def lengths(handler):
    """Pays for characters, of texts or of messages."""
    completions = handler.server.asked[-1][2]["completions"]
    texts = [one if isinstance(one, str) else one[0]["content"] for one in completions]
    return reply(handler, 200, {"rewards": [len(text) for text in texts]})


def dies(handler):
    """Closes the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def sleeps(handler):
    time.sleep(0.6)


def drips(handler):
    """Sends its answer a byte at a time, each in time."""
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        for _ in range(50):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:  # given up on
        pass


@pytest.fixture
def serve():
    """Starts servers: answers → url and what was asked."""
    started = []

    def start(*answers):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.answers, server.asked, server.daemon_threads = list(answers), [], True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}/score", server.asked

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Nothing is waited for; the seconds that would have been."""
    seconds = []
    monkeypatch.setattr(module, "pause", seconds.append)
    monkeypatch.delenv(module.TOKEN, raising=False)
    return seconds


def scored(reward, **columns):
    return score(reward, prompts=PROMPTS, completions=COMPLETIONS, completion_ids=IDS, columns=columns).tolist()


def refused(reward, **columns):
    with pytest.raises(RewardError) as caught:
        scored(reward, **columns)
    return str(caught.value)


# What is sent ---------------------------------------------------------------------------------------------------------


def test_one_request_a_batch_holds_prompts_completions_and_columns(serve):
    url, asked = serve(paid(1, 0.5))
    assert scored(RewardServer(url), answer=["a", {"b": 1}]) == [1.0, 0.5]
    assert [(path, body) for path, _, body in asked] == [
        ("/score", {"prompts": PROMPTS, "completions": COMPLETIONS, "columns": {"answer": ["a", {"b": 1}]}})
    ]


def test_conversations_are_sent_as_messages(serve):
    url, asked = serve(lengths)
    messages = [[{"role": "user", "content": text}] for text in PROMPTS]
    assert scored(honeypot(RewardServer(url), word="three"), prompt_messages=messages) == [3.5, 1.0]
    assert asked[0][2] == {
        "prompts": messages,
        "completions": [[{"role": "assistant", "content": text}] for text in COMPLETIONS],
        "columns": {},
    }


def test_trls_own_trainer_may_call_it_too(serve):
    """As it calls every reward: messages, the run's keywords, and columns."""
    url, asked = serve(lengths)
    messages = [[{"role": "assistant", "content": text}] for text in COMPLETIONS]
    of_run = {"trainer_state": object(), "log_metric": print, "log_extra": print}
    reward = RewardServer(url)
    assert reward(prompts=PROMPTS, completions=messages, completion_ids=IDS, answer=[1, 2], **of_run) == [7.0, 5.0]
    assert asked[0][2] == {"prompts": PROMPTS, "completions": messages, "columns": {"answer": [1, 2]}}


def test_null_is_not_scored(serve):
    url, _ = serve(paid(None, 2))
    assert str(scored(RewardServer(url))) == "[nan, 2.0]"


def test_a_column_that_json_does_not_know_is_named(serve):
    url, asked = serve(lengths)
    message = refused(RewardServer(url), image=[object()] * 2)
    assert re.search(r"cannot be sent the dataset column 'image' as JSON \(.*object", message)
    assert asked == []


def test_a_run_is_scored_by_a_server_named_by_its_address(serve, tmp_path):
    url, asked = serve(lengths)
    metrics = tiny_trainer(tmp_path, reward=[url, "lexicon"], max_steps=1).train()
    assert asked[0][2]["columns"] == {}
    assert metrics[f"rewards/{url.removeprefix('http://')}/mean"] > 0


def test_the_command_line_takes_the_address(serve, tmp_path):
    url, asked = serve(lengths)
    words = ["--prompts", '["The"]', "--max_steps", "1", "--batch_size", "8", "--num_mini_batches", "1", "--use_cpu"]
    words += ["--eval_completions", "8", "--progress", "false", "--output_dir", str(tmp_path / "run")]
    assert cli.main(["train", "--model", "pocket", "--reward_funcs", url, *words]) == 0
    assert len(asked) >= 2
    assert url in (tmp_path / "run" / "run.json").read_text()


# What is tried again --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
@pytest.mark.parametrize("bad", [(500, {}), (503, b"busy"), (429, {}), dies])
def test_what_passes_is_tried_again(bad, serve, waits):
    url, asked = serve(bad, bad, paid(1, 2))
    with pytest.warns(GaardWarning, match=r"reward server 127.*: trying again in 1 s"):
        assert scored(RewardServer(url)) == [1.0, 2.0]
    assert (len(asked), waits) == (3, [1.0, 2.0])


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_the_server_says_how_long_to_wait(serve, waits):
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    bad = [(status, {}) for status in (429, 503, 429, 503)]
    headers = [{"Retry_After": value} for value in ("7", date, past, "soon")]
    url, _ = serve(*[lambda h, b=b, x=x: reply(h, *b, **x) for b, x in zip(bad, headers, strict=True)], paid(1, 2))
    assert scored(RewardServer(url)) == [1.0, 2.0]
    assert waits == [7.0, pytest.approx(60, abs=2), 0.0, 8.0]


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_waits_are_doubled_up_to_five_minutes_and_no_try_is_lost(serve, waits):
    url, asked = serve((503, {}))
    message = refused(RewardServer(url, retries=11))
    assert "answered with status 503 Service Unavailable; tried 12 times: see that it runs" in message
    assert (len(asked), waits) == (12, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


def test_it_is_not_waited_for_a_server_for_hours(serve, waits):
    url, asked = serve(lambda handler: reply(handler, 429, {}, Retry_After="3600"))
    assert "answered with status 429 Too Many Requests and asks to wait 3600 s" in refused(RewardServer(url))
    assert (len(asked), waits) == (1, [])


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_a_server_that_stays_away_is_told_with_the_number_of_tries(serve, waits):
    url, asked = serve(dies)
    message = refused(RewardServer(url, retries=2))
    assert re.search(r"^reward server .* cannot be reached \(RemoteProtocolError.*; tried 3 times: see that", message)
    assert (len(asked), waits) == (3, [1.0, 2.0])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = RewardServer(f"http://127.0.0.1:{unused.getsockname()[1]}", retries=0)
        assert "cannot be reached (ConnectError: " in refused(nobody)


@pytest.mark.parametrize(
    ("answer", "words"), [(sleeps, "gave no answer within 0.2 s"), (drips, "gave no whole answer")]
)
def test_a_slow_server_is_given_up_on(answer, words, serve):
    url, _ = serve(answer)
    start = time.monotonic()
    assert words in refused(RewardServer(url, timeout=0.2, retries=0))
    assert time.monotonic() - start < 2


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_a_run_whose_server_dies_goes_on_from_there(serve, tmp_path):
    alive = [True]
    url, _ = serve(lambda handler: lengths(handler) if alive[0] else dies(handler))

    def trainer():
        return tiny_trainer(tmp_path, reward=RewardServer(url, retries=1), method="ppo", max_steps=2)

    first = trainer()
    first.training_step()
    alive[0] = False
    with pytest.raises(RewardError, match="cannot be reached"):
        first.training_step()
    first.run.close()
    alive[0] = True
    assert trainer().train()["step"] == 2
    assert [row["step"] for row in first.run.log.read("metrics.jsonl")] == [1, 2]


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (paid(1), r"returned 1 values for 2 completions"),
        (
            (200, b'{"rewards": [1, NaN]}'),
            r"returned nan for completion 1 \(prompt 'q', completion 'three'\): this is not",
        ),
        ((200, b'{"rewards": [1e999, 1]}'), r"returned inf for completion 0 .*not finite"),
        (paid("1", 2), r"returned '1' for completion 0 .*this is a str"),
        ((200, {"reward": [1, 2]}), r"answered .*it has to be \{\"rewards\": \[\.\.\.\]\}"),
        ((200, [1, 2]), r"answered '\[1, 2\]': it has to be"),
        ((200, b"<html>"), r"answered what is not JSON: '<html>'"),
        (
            (422, {"detail": "no"}),
            r"answered with status 422 .*detail.*: it has to be 200; see its address and its token",
        ),
        ((204, b""), r"answered with status 204"),
    ],
)
def test_an_answer_that_is_none_is_not_asked_for_again(answer, words, serve):
    url, asked = serve(answer)
    assert re.search(words, refused(RewardServer(url)))
    assert len(asked) == 1


def test_an_answer_without_end_is_given_up_on(serve, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_ANSWER", 1000)
    url, _ = serve((200, b" " * 5000))
    assert "answered more than 1,000 bytes" in refused(RewardServer(url))


def moves(to, status=307):
    return lambda handler: reply(handler, status, b"", Location=to)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_on_the_same_server_is_followed(status, serve):
    url, asked = serve(moves("/score/", status), paid(1, 2))
    assert scored(RewardServer(url)) == [1.0, 2.0]
    assert [path for path, _, _ in asked] == ["/score", "/score/"]
    assert asked[0][2] == asked[1][2]


def test_redirects_have_one_time_together(serve):
    def slowly(handler):
        time.sleep(0.2)
        moves("/score")(handler)

    url, _ = serve(slowly)
    assert "gave no answer within 0.5 s" in refused(RewardServer(url, timeout=0.5, retries=0))


def test_a_redirect_to_another_server_is_not_followed(serve, monkeypatch):
    monkeypatch.setenv(module.TOKEN, SECRET)
    other, got = serve(paid(1, 2))
    for to in (other, other.replace("127.0.0.1", "localhost"), "https://user:pw@127.0.0.1/score"):
        url, _ = serve(moves(to))
        message = refused(RewardServer(url))
        assert re.search(
            r"sends the request on to https?://[\w.:]+, which is another server: if that is right", message
        )
        assert "pw" not in message
    assert got == []


def test_redirects_in_a_circle_end(serve):
    url, asked = serve(moves("/score"))
    assert "to another path more than 3 times in a row" in refused(RewardServer(url))
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000", r"is 'localhost:8000': write http://HOST:PORT/PATH"),
        ("ftp://x/y", "write http://"),
        ("http://", r"is 'http://': write"),
        ("http://x:port/", "no valid host and port"),
        ("http://x/a b", "without spaces"),
        ("http://x/#a", "and '#'"),
        (f"http://me:{SECRET}@x/", r"\(x\) holds a user name or password, and addresses stand in records"),
        (f"https://x/?model=a&api_key={SECRET}", r"\(x\) holds a value of 'api_key'.*GAARD_REWARD_TOKEN"),
    ],
)
def test_an_address_that_cannot_be_asked_or_holds_a_secret_is_refused(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        RewardServer(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}, {"retries": 1.5}])
def test_numbers_that_cannot_be_used_are_refused(options):
    with pytest.raises(ConfigError, match=rf"{next(iter(options))} is .*: give the"):
        RewardServer("http://x", **options)


def test_what_a_name_stands_for():
    assert repr(reward_from_name("https://x:1/a?model=b")) == "RewardServer('https://x:1/a?model=b')"
    with pytest.raises(ConfigError, match="holds a user name"):
        reward_from_name("http://a:b@c")


# The secret -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_the_secret_reaches_the_server_and_nothing_else(serve, monkeypatch, tmp_path, caplog, capsys):
    monkeypatch.setenv(module.TOKEN, f"{SECRET}\n")
    caplog.set_level(logging.DEBUG)
    url, asked = serve((503, {}), lengths)
    trainer = tiny_trainer(tmp_path, reward=RewardServer(url), max_steps=1)
    trainer.train()
    assert {headers["Authorization"] for _, headers, _ in asked} == {f"Bearer {SECRET}"}
    written = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    held = [pickle.dumps(RewardServer(url)), identity_of({"a": RewardServer(url)}), vars(RewardServer(url))]
    assert "metrics" in str(list(tmp_path.iterdir()))
    assert all(SECRET not in str(text) for text in (written, *held, caplog.text, capsys.readouterr()))


def test_an_echo_of_the_secret_is_not_repeated(serve, monkeypatch):
    monkeypatch.setenv(module.TOKEN, SECRET)
    for answer in ((401, {"no": SECRET}), (200, SECRET.encode())):
        url, _ = serve(answer)
        message = refused(RewardServer(url))
        assert SECRET not in message
        assert "***" in message


def test_another_variable_and_header_can_be_named(serve, monkeypatch):
    with pytest.raises(ConfigError, match="the environment variable MY_KEY is not set"):
        RewardServer("http://x", token_variable="MY_KEY")
    monkeypatch.setenv("MY_KEY", SECRET)
    url, asked = serve(paid(1, 2))
    scored(RewardServer(url, token_variable="MY_KEY", token_header="X-API-Key"))
    assert (asked[0][1]["X-API-Key"], asked[0][1].get("Authorization")) == (SECRET, None)
    monkeypatch.setenv("MY_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(ConfigError, match="MY_KEY holds what cannot stand in a header") as caught:
        RewardServer(url, token_variable="MY_KEY")
    assert SECRET not in str(caught.value)


def test_it_is_sent_to_other_processes_without_its_connection(serve):
    url, _ = serve(paid(1, 2))
    reward = RewardServer(url)
    scored(reward)
    assert scored(pickle.loads(pickle.dumps(reward))) == [1.0, 2.0]


# The example ----------------------------------------------------------------------------------------------------------


def test_the_example_serves():
    """`python examples/reward_server.py PORT`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "reward_server.py"), str(port)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)
            except urllib.error.HTTPError:  # it has no GET
                break
            except OSError:
                time.sleep(0.05)
        assert scored(RewardServer(f"http://127.0.0.1:{port}/score", retries=0)) == pytest.approx([0.2, 0.1])
    finally:
        process.kill()
        process.wait()
