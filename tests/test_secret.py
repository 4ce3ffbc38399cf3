"""A secret gets out by `reveal()` and by nothing else."""

import copy
import json
import logging
import pickle
import pprint
import traceback
from dataclasses import asdict, dataclass

import pytest

from chatlab.values.secret import Secret

KEY = "sk-or-v1-a-key-of-this-test"


@dataclass(frozen=True)
class Holder:
    key: Secret


WAYS_OUT = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": "{}".format,
    "format with conversion and width": "{!r:>30}".format,
    "f-string": lambda secret: f"{secret:>30}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "pprint": pprint.pformat,
    "containers": lambda secret: repr([secret, {secret: secret}]),
    "dataclass": lambda secret: repr(Holder(secret)),
    "json with default=str": lambda secret: json.dumps({"key": secret}, default=str),
    "exception": lambda secret: repr(ValueError(secret)),
    "vars": lambda secret: repr(getattr(secret, "__dict__", "none")),
    "dir": lambda secret: str(dir(secret)),
}


@pytest.mark.parametrize("show", WAYS_OUT.values(), ids=WAYS_OUT)
def test_no_way_of_showing_it_shows_it(show):
    shown = show(Secret(KEY))
    assert KEY not in shown
    assert KEY.encode().hex() not in shown


def test_reveal_gives_it_back():
    assert Secret(KEY).reveal() == KEY


def test_logs_and_tracebacks_with_local_variables_do_not_show_it(caplog):
    def fail(secret):
        logging.getLogger("chatlab.test").error("key %s %r", secret, secret)
        raise RuntimeError(secret)

    with pytest.raises(RuntimeError) as caught:
        fail(Secret(KEY))
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "Secret(***)" in "".join(report.format())
    assert KEY not in "".join(report.format())
    assert KEY not in caplog.text


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside": lambda secret: copy.deepcopy({"key": [secret]}),
    "asdict": lambda secret: asdict(Holder(secret)),
    "pickle inside": lambda secret: pickle.dumps(Holder(secret)),
} | {
    f"pickle protocol {protocol}": lambda secret, protocol=protocol: pickle.dumps(secret, protocol)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}


@pytest.mark.parametrize("copying", COPIES.values(), ids=COPIES)
def test_it_is_neither_pickled_nor_copied(copying):
    with pytest.raises(TypeError, match="never pickled") as caught:
        copying(Secret(KEY))
    assert KEY not in str(caught.value)


def test_secrets_are_compared_by_value():
    assert Secret(KEY) == Secret(KEY)
    assert hash(Secret(KEY)) == hash(Secret(KEY))
    assert Secret(KEY) != Secret("another")
    assert Secret(KEY) != KEY


def test_a_fingerprint_tells_keys_apart_and_depends_on_the_salt():
    fingerprint = Secret(KEY).fingerprint(b"here")
    assert len(fingerprint) == 8
    assert fingerprint == Secret(KEY).fingerprint(b"here")
    assert fingerprint != Secret("another").fingerprint(b"here")
    assert fingerprint != Secret(KEY).fingerprint(b"there")
