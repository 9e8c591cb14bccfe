from attrs import frozen, field
from pathlib import Path
@frozen(kw_only=True)
class Settings:
    listen: tuple = ("tcp:3141:interface=127.0.0.1:backlog=2048",)
    state: Path = Path("~/.pypicache").expanduser()
    outside_url: str|None = None
    offline: bool = False
    request_timeout: float = 5.0
    ca_bundle: Path|None = None
    log_format: str = "text"
    max_size: int|None = 50*2**30
    mirror_cache_expiry: int = 1800
    client_max_age: int = 600
    refresh_ahead: float = 86400.0
    max_page_size: int = 100*2**20
    upstream_connections: int = 64
    indexes: tuple = ()
    address: tuple = ("127.0.0.1", 3141)
