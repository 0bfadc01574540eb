"""A file comes whole or not at all, from servers that break off, lie, forget, change the file or answer nothing."""

import json
import socket

import pytest
import requests

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.downloads import transfer
from bcdh_lib.retrieval.downloads.transfer import ATTEMPTS, Part, Version, fetch
from tests.retrieval.downloads.conftest import good, send, status

CONTENT = bytes(range(256)) * 40
MOST = 2 * len(CONTENT)
OTHER = CONTENT[::-1]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(transfer, "PIECE", 1000)


@pytest.fixture
def bring(server, tmp_path):
    """Fetch the file with these answers of the server; gives what came."""

    def call(*script, most=MOST):
        server.script = list(script)
        fetch(f"{server.url}/photos.tgz", tmp_path / "photos.tgz", most, pause=0)
        assert [file.name for file in tmp_path.iterdir()] == ["photos.tgz"]
        return (tmp_path / "photos.tgz").read_bytes()

    return call


def ranges(server):
    return [headers.get("Range") for headers in server.asked]


def test_whole(bring, server):
    assert bring(good(CONTENT)) == CONTENT
    assert ranges(server) == [None]
    assert server.asked[0]["Accept-Encoding"] == "identity"


def test_a_broken_connection_goes_on_where_it_broke(bring, server):
    assert bring(good(CONTENT, cut=3000), good(CONTENT, cut=3000), good(CONTENT)) == CONTENT
    assert ranges(server) == [None, "bytes=3000-", "bytes=6000-"]
    assert server.asked[1]["If-Range"] == '"1"'


def test_attempts_that_bring_something_do_not_count(bring, server):
    assert bring(*[good(CONTENT, cut=1000)] * (ATTEMPTS + 3), good(CONTENT)) == CONTENT
    assert len(server.asked) > ATTEMPTS


def test_a_later_call_goes_on_with_what_an_earlier_one_left(bring, server):
    with pytest.raises(StudyError, match=r"503 Service Unavailable; type the command again later"):
        bring(good(CONTENT, cut=3000), status(503))
    server.asked.clear()
    assert bring(good(CONTENT)) == CONTENT
    assert ranges(server) == ["bytes=3000-"]


def test_a_run_killed_before_the_last_rename_asks_for_nothing(bring, server, tmp_path):
    (tmp_path / "photos.tgz.part").write_bytes(CONTENT)
    note = {"url": f"{server.url}/photos.tgz", "validator": '"1"', "length": len(CONTENT)}
    (tmp_path / "photos.tgz.part.json").write_text(json.dumps(note))
    assert bring(status(500)) == CONTENT
    assert server.asked == []


@pytest.mark.parametrize(
    "note",
    [
        None,
        "{",
        "[]",
        "[" * 10**5,
        '{"url": "PHOTOS", "validator": 1, "length": "9"}',
        '{"url": "http://elsewhere/photos.tgz", "validator": "\\"1\\"", "length": 10240}',
    ],
)
def test_a_start_of_unknown_origin_is_thrown_away(bring, server, tmp_path, note):
    (tmp_path / "photos.tgz.part").write_bytes(OTHER[:3000])
    if note is not None:
        (tmp_path / "photos.tgz.part.json").write_text(note.replace("PHOTOS", f"{server.url}/photos.tgz"))
    assert bring(good(CONTENT)) == CONTENT
    assert ranges(server) == [None]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_changed_file_is_not_glued_to_the_old_start(bring, heeds_if_range):
    assert bring(good(CONTENT, cut=3000), good(OTHER, tag='"2"', heeds_if_range=heeds_if_range)) == OTHER


def test_a_file_that_became_longer_is_not_glued_either(bring):
    assert bring(good(CONTENT, cut=3000), good(OTHER + b"more", heeds_if_range=False)) == OTHER + b"more"


def test_a_file_that_became_shorter_starts_anew(bring):
    assert bring(good(CONTENT, cut=3000), good(OTHER[:2000], heeds_if_range=False)) == OTHER[:2000]


@pytest.mark.parametrize("tag", [None, 'W/"1"'])
def test_without_a_strong_validator_the_file_starts_anew(bring, server, tag):
    assert bring(good(CONTENT, tag, cut=3000), good(CONTENT, tag)) == CONTENT
    assert ranges(server) == [None, None]


def ignores_range(content, cut=None):
    return lambda handler: send(handler, 200, {"ETag": '"1"', "Content-Length": len(content)}, content[:cut])


def test_a_server_that_ignores_range_starts_anew(bring, server):
    assert bring(good(CONTENT, cut=3000), ignores_range(CONTENT)) == CONTENT
    assert ranges(server)[1] == "bytes=3000-"


def test_a_server_that_ignores_range_and_always_breaks_off_is_given_up(bring, server, tmp_path):
    with pytest.raises(StudyError, match="3000"):
        bring(ignores_range(CONTENT, cut=3000))
    assert len(server.asked) == ATTEMPTS
    assert not (tmp_path / "photos.tgz").exists()


def test_another_piece_than_asked_for_is_not_used(bring):
    def shifted(handler):
        end = len(CONTENT) - 1
        send(
            handler,
            206,
            {"ETag": '"1"', "Content-Range": f"bytes 2000-{end}/{end + 1}", "Content-Length": end - 1999},
            CONTENT[2000:],
        )

    assert bring(good(CONTENT, cut=3000), shifted, good(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("given", "tag", "goes_on"),
    [
        ("bytes 30-99/100", '"1"', True),
        ("bytes 30-49/100", '"1"', True),
        ("bytes 30-99/100", None, True),
        ("bytes 30-99/100", '"2"', False),
        ("bytes 20-99/100", '"1"', False),
        ("bytes 30-89/90", '"1"', False),
        ("bytes 30-100/100", '"1"', False),
        ("bytes 30-29/100", '"1"', False),
        ("bytes 30-99/*", '"1"', False),
        ("", '"1"', False),
    ],
)
def test_which_pieces_go_on_after_30_of_100_bytes(given, tag, goes_on):
    answer = requests.Response()
    answer.headers["Content-Range"] = given
    if tag:
        answer.headers["ETag"] = tag
    assert transfer._goes_on(answer, 30, Version("", '"1"', 100)) == goes_on


def test_the_rest_in_portions(bring, server):
    def portion(handler):
        first = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        body = CONTENT[first : first + 4000]
        given = f"bytes {first}-{first + len(body) - 1}/{len(CONTENT)}"
        send(handler, 206, {"ETag": '"1"', "Content-Range": given, "Content-Length": len(body)}, body)

    assert bring(good(CONTENT, cut=3000), portion) == CONTENT
    assert ranges(server) == [None, "bytes=3000-", "bytes=7000-"]


def test_a_length_that_is_never_reached(bring, server, tmp_path):
    def lies(handler):
        send(handler, 200, {"ETag": '"1"', "Content-Length": len(CONTENT) + 5}, CONTENT)

    with pytest.raises(StudyError, match=r"photos.tgz: .*type the command again later"):
        bring(lies)
    assert not (tmp_path / "photos.tgz").exists()


@pytest.mark.parametrize(("code", "attempts"), [(404, 1), (403, 1), (500, ATTEMPTS), (429, ATTEMPTS)])
def test_answers_that_bring_nothing(bring, server, tmp_path, code, attempts):
    with pytest.raises(StudyError, match=rf"photos.tgz: the server answers {code} "):
        bring(status(code))
    assert len(server.asked) == attempts
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_recovers(bring):
    assert bring(status(500), status(503), good(CONTENT)) == CONTENT


def test_no_server_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(StudyError, match=r"photos.tgz: .*refused.*type the command again later"):
            fetch(f"http://127.0.0.1:{deaf.getsockname()[1]}/photos.tgz", tmp_path / "photos.tgz", MOST, pause=0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_has_moved_is_followed_and_goes_on_there(bring, server):
    server.paths["photos.tgz"] = lambda handler: send(handler, 301, {"Location": f"{server.url}/moved", "Content-Length": 0})
    assert bring(good(CONTENT, cut=3000), good(CONTENT)) == CONTENT
    assert ranges(server) == [None, None, "bytes=3000-", "bytes=3000-"]


def test_a_file_that_has_moved_to_where_anybody_can_alter_it_is_refused(tmp_path):
    answer = requests.Response()
    answer.status_code, answer.url = 200, "http://example.org/photos.tgz"
    url = "https://example.org/photos.tgz"
    with pytest.raises(StudyError, match=r"leads to http://example\.org/photos\.tgz, which anybody"):
        transfer._take_up(answer, Part(tmp_path / "photos.tgz", url), url)


def chunked(*pieces, end=b"0\r\n\r\n"):
    def answer(handler):
        handler.protocol_version = "HTTP/1.1"
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        send(handler, 200, {"ETag": '"1"', "Transfer-Encoding": "chunked"}, body + end)

    return answer


def test_chunks_end_themselves_and_a_cut_shows(bring, server):
    assert bring(chunked(CONTENT[:500], end=b""), chunked(CONTENT[:500], CONTENT[500:])) == CONTENT
    assert ranges(server) == [None, None]


def test_without_any_length_a_cut_would_go_unseen(bring, tmp_path):
    with pytest.raises(StudyError, match="does not say how long it is"):
        bring(lambda handler: send(handler, 200, {"ETag": '"1"'}, CONTENT))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [good(CONTENT), chunked(CONTENT)])
def test_a_longer_file_than_expected_is_refused(bring, tmp_path, answer):
    with pytest.raises(StudyError, match="look what lies there now"):
        bring(answer, most=len(CONTENT) - 1)
    assert list(tmp_path.iterdir()) == []


def test_a_zipped_file_stays_as_it_is(bring):
    def labelled(handler):
        headers = {"Content-Encoding": "x-gzip", "Content-Length": len(CONTENT)}
        send(handler, 200, headers, CONTENT)

    assert bring(labelled) == CONTENT
