"""What an error of the driver's says, in words that hold no host, no value and no password."""

from typing import Final

_CAUSES: Final = (
    ("password authentication failed", "it refuses the user's password"),
    ("no password supplied", "it wants a password"),
    ("no pg_hba.conf entry", "it does not let this user in from here (pg_hba.conf), or not without TLS"),
    ("server does not support SSL", "it has no TLS, and sslmode asks for it"),
    ("certificate verify failed", "its certificate is not signed by a root that sslrootcert names"),
    ("does not match host name", "its certificate is for another host"),
    ("root certificate file", "the file that sslrootcert names can't be read"),
    ("Connection refused", "nothing listens there"),
    ("No such file or directory", "nothing listens there"),
    ("could not translate host name", "its host name is not known"),
    ("failed to resolve host", "its host name is not known"),
    ("timeout expired", "no answer in time"),
    ("starting up", "it is starting"),
    ("shutting down", "it is being stopped"),
    ("recovery mode", "it recovers from a crash"),
    ("connection slots", "it has no connection left"),
    ("too many connections", "it has no connection left"),
    ("too many clients", "it has no connection left"),
    ('role "', "there is no such user, or it may not log in"),
)
_STATES: Final = {
    "53100": "its disk is full",
    "53200": "it is out of memory",
    "53300": "it has no connection left",
    "57014": "a statement took too long",
    "57P01": "it was stopped",
    "40P01": "two transactions waited for each other",
    "55P03": "somebody holds it locked",
    "42501": "the user lacks a privilege",
    "3D000": "there is no such database",
}


def say(error: BaseException | None) -> str:
    """The cause where it is known, and always the kind, with the server's own code."""
    state = getattr(error, "sqlstate", None)
    kind = f"{type(error).__name__}{f' ({state})' if state else ''}"
    cause = _STATES.get(state or "")
    if cause is None and state is None:
        text = str(error)
        cause = "there is no such database" if 'database "' in text and "does not exist" in text else None
        cause = cause or next((words for sign, words in _CAUSES if sign in text), None)
    return f"{cause}: {kind}" if cause else kind
