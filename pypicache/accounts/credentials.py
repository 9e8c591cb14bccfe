"""What a request says about who sends it."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class Credentials:
    """A user name and a secret, and the way they came."""

    user: str  # empty, or anything at all, where the secret is an API token
    secret: str = field(repr=False)  # a password, a login token or an API token
    bearer: bool = False  # only an API token can come like this
    address: str = ""  # of the client, for the back-off after failures
    nearby: bool = False  # from this machine, through no proxy
